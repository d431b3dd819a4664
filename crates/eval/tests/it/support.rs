//! Suites in a temporary folder, and stand-ins for models.

use data::{Control, LossOn, Template, TextPipeline, TextPlan};
use eval::Decoding;
use eval::{EvalError, Subject, Suite};
use std::path::{Path, PathBuf};

pub fn fixture(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(path)
}

pub fn model() -> PathBuf {
    fixture("models/llama")
}

/// A folder with files.
pub struct Bench {
    pub dir: tempfile::TempDir,
}

impl Bench {
    pub fn new(files: &[(&str, &str)]) -> Bench {
        let bench = Bench { dir: tempfile::tempdir().expect("a folder") };
        files.iter().for_each(|(name, text)| bench.write(name, text));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    pub fn suite(&self, name: &str) -> Suite {
        Suite::read(&self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// What refuses a suite of this text.
    pub fn refusal(&self, yaml: &str) -> String {
        self.write("refused.yaml", yaml);
        Suite::read(&self.path("refused.yaml")).expect_err(yaml).to_string()
    }
}

/// Answers each prompt by a function of its text, and has the same loss for every token.
pub struct Fake {
    text: TextPipeline,
    answer: Box<dyn Fn(&str) -> String>,
    loss: f64,
}

impl Fake {
    pub fn new(loss: f64, answer: impl Fn(&str) -> String + 'static) -> Fake {
        let plan = TextPlan {
            model_dir: model(),
            template: Template::Auto,
            loss_on: LossOn::Response,
            record_bytes_max: 1 << 20,
        };
        Fake { text: TextPipeline::open(&plan).expect("a tokenizer"), answer: Box::new(answer), loss }
    }
}

impl Subject for Fake {
    fn losses(
        &mut self,
        rows: &[&data::Encoded],
        on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Vec<f64>>>, EvalError> {
        let of = |row: &&data::Encoded| vec![self.loss; row.supervised.iter().skip(1).filter(|s| **s).count()];
        Ok((rows.is_empty() || on()).then(|| rows.iter().map(of).collect()))
    }

    fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        _: &Decoding,
        on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Vec<u32>>>, EvalError> {
        if !on() {
            return Ok(None);
        }
        let tokenizer = self.text.tokenizer();
        let answers = prompts.iter().map(|ids| {
            let prompt = tokenizer.decode(ids, Control::Skip)?;
            tokenizer.encode_bare(&(self.answer)(&prompt))
        });
        Ok(Some(answers.collect::<Result<_, _>>()?))
    }
}
