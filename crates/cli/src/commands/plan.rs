//! `athanor plan`: what a run would train, on what, with what memory, and one example with its loss mask.

use crate::args::PlanArgs;
use crate::exit::Failure;
use crate::plan::keys::KEYS;
use crate::signals::Signals;
use crate::ui::text::{COLUMNS, bytes, count, shortened, visible, wrapped};
use crate::ui::{Look, Reporter, shown_path};
use anstyle::{AnsiColor, Style};
use data::Counts;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use train::{Event, Plan, Preview, QuantizedCopy, Schedule, TaskShare, ToWrite, Warmup};
use unicode_width::UnicodeWidthStr;

/// Most columns of text shown of the one example.
const SAMPLE_COLUMNS: usize = 20 * COLUMNS;
const LABEL: usize = 14;
/// What `alpha: auto` comes to.
const AUTO_SCALE: f64 = 2.0;

pub fn show(args: &PlanArgs, look: Look) -> Result<(), Failure> {
    let plan = crate::plan::load(&args.path, &args.overrides())?;
    let signals = Signals::install()?;
    let mut reporter = Reporter::new(look);
    if let Err(e) = super::ask::check(&plan, signals, &mut reporter) {
        reporter.finish();
        return Err(e);
    }
    let result = train::preview(&plan, &runfs::RealFs, signals.stop(), &mut |event| match event {
        // The page itself holds them.
        Event::Note(_) => {}
        event => reporter.on(&event),
    });
    reporter.finish();
    let preview = result.map_err(|e| Failure::of_run(e, signals))?;
    crate::ui::print(&match look {
        Look::Json => format!("{}\n", as_json(&plan, &preview)),
        Look::Human | Look::Quiet => as_text(&plan, &preview),
    })?;
    Ok(())
}

/// Every key with its default, for `athanor plan --keys`.
pub fn keys() -> Result<(), Failure> {
    let width = KEYS.iter().map(|k| k.path.len()).max().unwrap_or(0) + 2;
    let mut out = String::new();
    for k in KEYS {
        let default = if k.default.is_empty() { String::new() } else { format!(" (default {})", k.default) };
        let text =
            wrapped(&format!("{}{default}", k.what), COLUMNS - width, 0).replace('\n', &format!("\n{:width$}", ""));
        out.push_str(&format!("{:width$}{text}\n", k.path));
    }
    crate::ui::print(&out)?;
    Ok(())
}

fn as_json(plan: &Plan, p: &Preview) -> serde_json::Value {
    json!({
        "event": "plan",
        "plan": plan,
        "notes": p.notes,
        "steps": p.steps,
        "parameters": p.parameters,
        "trainable": p.trainable,
        "train": p.counts,
        "valid": p.valid_counts,
        "unseen": p.unseen_counts,
        "replay": p.replay_counts,
        "replay_to_write": p.to_write,
        "tasks": p.tasks,
        "memory": p.memory,
        "pace": p.pace,
        "quantized_copy": p.copy,
        "sample": {
            "origin": p.sample_origin,
            "tokens": p.sample.iter().map(|(text, supervised)| json!({"text": text, "supervised": supervised})).collect::<Vec<_>>(),
        },
    })
}

fn as_text(plan: &Plan, p: &Preview) -> String {
    let mut page = Page::default();
    page.row("model", &shown_path(&plan.model));
    let share = 100.0 * p.trainable as f64 / p.parameters.max(1) as f64;
    page.row("trains", &format!("{} of {} parameters ({share:.2} %)", count(p.trainable), count(p.parameters)));
    page.row("adapter", &adapter_line(plan));
    if let Some(line) = scale_line(plan) {
        page.row("scale", &line);
    }
    page.row("base", &base_line(plan));
    page.row("steps", &format!("{} of {} {}", count(p.steps), count(plan.train.batch as u64), batch_unit(plan)));
    page.row("rate", &rate_line(plan));
    for part in &plan.ewc {
        page.row("holds", &holds_line(part, p.steps));
    }
    if let Some(asked) = &plan.eval {
        page.row("asks", &asks_line(asked));
    }
    page.row("out", &shown_path(&plan.out));

    page.title("data");
    counts(&mut page, "train", &p.counts);
    match &p.valid_counts {
        Some(valid) => counts(&mut page, "valid", valid),
        None => page.row("valid", "none (data.valid): no best checkpoint, no early stop"),
    }
    if let Some(unseen) = &p.unseen_counts {
        counts(&mut page, "unseen", unseen);
    }
    if let Some(replay) = &p.replay_counts {
        counts(&mut page, "replay", replay);
    }
    if let Some(to_write) = &p.to_write {
        page.row("replay", &to_write_line(to_write));
    }
    for note in &p.notes {
        page.row("note", &visible(note));
    }
    if !p.tasks.is_empty() {
        page.title("mixture of an epoch, in supervised tokens");
        p.tasks.iter().for_each(|task| page.row(&shortened(&task.task, LABEL - 1), &task_line(task)));
    }

    page.title("memory");
    let m = &p.memory;
    let anchors = (m.anchors > 0).then_some(("held to (ewc)", m.anchors));
    let parts = [
        ("weights", m.weights),
        ("adapter", m.adapter),
        ("optimiser", m.optimiser),
        ("activations", m.activations),
        ("scratch", m.scratch),
        ("program", m.program),
    ];
    for (name, n) in parts.into_iter().chain(anchors) {
        page.row(name, &format!("{:>10}", bytes(n)));
    }
    if m.weights_packed {
        page.row("", "weights are held twice, as products read them forward and backward: faster");
        if saved_in_nf4(plan) || plan.quantize != model::Quantize::None {
            page.row("", "and in 16 bits with NF4's values; a smaller train.memory keeps them in 4");
        }
    }
    if plan.train.optimizer == train::Optimizer::AdamW8bit {
        page.row("", &eight_bit_line(p));
    }
    page.row("total", &format!("{:>10} of {}", bytes(m.total), bytes(m.limit)));
    if m.layers_recomputed > 0 {
        let layers = m.layers_kept + m.layers_recomputed;
        page.row("", &format!("{} of {layers} layers are computed again in the backward pass", m.layers_recomputed));
    }
    match &p.pace {
        Some(pace) => page.row("reading", &reading_line(m.layers_streamed, pace)),
        None if m.layers_streamed > 0 => {
            let what =
                "layers are read from the copy in NF4 in each pass; how long that takes is known once it is there";
            page.row("reading", &format!("{} {what}", m.layers_streamed));
        }
        None => {}
    }
    if let Some(copy) = &p.copy {
        page.row("copy", &copy_line(copy));
    }

    if !p.sample.is_empty() {
        sample(&mut page, p);
    }
    page.text
}

/// What the base will write itself.
fn to_write_line(t: &ToWrite) -> String {
    let what = if t.chats { "questions, each with its answer," } else { "texts" };
    format!(
        "{} {what} of at most {} tokens, which the base writes itself when the run begins; what is counted here is without \
         them, and the number of steps an estimate where the plan gives epochs",
        count(t.texts),
        count(t.tokens as u64)
    )
}

/// What is held on to, and how strongly.
fn holds_line(part: &train::EwcPlan, steps: u64) -> String {
    let what = match &part.of {
        train::EwcOf::Base(_) => "the base, by a Fisher of general data".to_owned(),
        train::EwcOf::Run { dir, .. } => format!("the adapter of {}", shown_path(dir)),
        train::EwcOf::File(path) => format!("what {} is of", shown_path(path)),
    };
    match part.lambda.sought() {
        None => format!("{what}, λ = {}", part.lambda.value().unwrap_or_default()),
        Some(sought) => format!(
            "{what}; λ is found first, on probes of {} steps, so that the loss on held rows rises by at most {:.1} %",
            train::probe_steps(sought.steps, steps),
            100.0 * sought.rise
        ),
    }
}

/// What is asked when the training is done.
fn asks_line(asked: &train::AskPlan) -> String {
    let conditions = match asked.require.len() {
        0 => "nothing required".to_owned(),
        n => format!("{} required", count(n as u64)),
    };
    let suites = |list: &[std::path::PathBuf]| count(list.len() as u64);
    format!(
        "suites before and after: {} of the task, {} general; {conditions}",
        suites(&asked.task),
        suites(&asked.general)
    )
}

fn task_line(t: &TaskShare) -> String {
    let uses = t.epoch_examples as f64 / t.examples.max(1) as f64;
    format!(
        "{:.1} % asked, {:.1} % delivered: {} of {} tokens, {} rows used {uses:.2} times",
        100.0 * t.share_asked,
        100.0 * t.share_delivered,
        count(t.epoch_supervised_tokens),
        count(t.supervised_tokens),
        count(t.examples)
    )
}

/// What moments in 8 bits take of what they would in f32.
fn eight_bit_line(p: &Preview) -> String {
    let each = p.memory.optimiser as f64 / p.trainable.max(1) as f64;
    format!(
        "AdamW's moments are in 8 bits, {each:.1} bytes a trained parameter instead of 8 (in f32 stay those of tensors \
         below 4,096 elements and of the embedding)"
    )
}

/// What a pass reads, and whether it waits for that.
fn reading_line(streamed: usize, pace: &model::Pace) -> String {
    let model::Pace { bytes: read, reading, computing } = *pace;
    let what = format!(
        "{streamed} layers are read from the model's files in each pass: {}, {reading:.1} s from the disk, beside about \
         {computing:.1} s of computing",
        bytes(read)
    );
    let so = if reading <= computing {
        "so it costs hardly any time"
    } else {
        "so reading decides the speed: a larger train.memory keeps more layers"
    };
    format!("{what}; {so}")
}

/// Whether the base in NF4 is there, or what the run will write.
fn copy_line(copy: &QuantizedCopy) -> String {
    let QuantizedCopy { dir, bytes: size, there, free } = copy;
    let (size, dir) = (bytes(*size), shown_path(dir));
    match there {
        true => format!("the base in NF4 is there, {size} in {dir}"),
        false if copy.fits() => {
            format!(
                "the base in NF4 will be written for this run and later ones, {size} in {dir}, where {} are free",
                bytes(*free)
            )
        }
        false => format!(
            "no copy of the base in NF4 will be kept: it takes {size}, in {dir} {} are free (quantize_cache)",
            bytes(*free)
        ),
    }
}

/// What the base is held in, and what products multiply.
fn base_line(plan: &Plan) -> String {
    let products = match plan.train.precision {
        train::Precision::F32 => "f32",
        train::Precision::Bf16 => "bf16",
    };
    if trains_all(plan) {
        return format!("trained, products in {products}");
    }
    match plan.quantize {
        _ if saved_in_nf4(plan) => format!("frozen, its layers in NF4 as the model has them, products in {products}"),
        model::Quantize::None => format!("frozen, products in {products}"),
        model::Quantize::Nf4 { double } => {
            let double = if double { " with double quantisation" } else { "" };
            format!("frozen, its layers in NF4{double}, products in {products}")
        }
    }
}

/// Whether nothing of the base is frozen.
fn trains_all(plan: &Plan) -> bool {
    matches!(&plan.adapter, model::AdapterPlan::Lora(l) if l.full && l.modules_to_save.iter().any(String::is_empty))
}

fn saved_in_nf4(plan: &Plan) -> bool {
    model::ModelConfig::read(&plan.model).is_ok_and(|config| config.saved_in_nf4)
}

fn adapter_line(plan: &Plan) -> String {
    match &plan.adapter {
        model::AdapterPlan::None => "none".into(),
        model::AdapterPlan::Lora(l) => {
            let targets = match &l.targets {
                model::Targets::AllLinear => "all linear layers".into(),
                model::Targets::Names(names) => names.join(", "),
                model::Targets::Regex(regex) => format!("/{regex}/"),
            };
            if l.full {
                let which = if trains_all(plan) {
                    "the whole model".to_owned()
                } else {
                    visible(&l.modules_to_save.join(", "))
                };
                return format!("none: full fine-tuning of {which}");
            }
            let method = if l.dora { "DoRA" } else { "LoRA" };
            if let Some(ada) = &l.ada {
                let (r, target) = (l.r, ada.target_r);
                return format!(
                    "AdaLoRA, from r {r} to {target} on average, alpha {}, dropout {}, on {}",
                    l.alpha,
                    l.dropout,
                    visible(&targets)
                );
            }
            format!("{method}, r {}, alpha {}, dropout {}, on {}", l.r, l.alpha, l.dropout, visible(&targets))
        }
    }
}

/// Which scale follows from alpha and ranks, and what that means. None: there is no pair, or the model cannot be read.
fn scale_line(plan: &Plan) -> Option<String> {
    let model::AdapterPlan::Lora(l) = &plan.adapter else { return None };
    let scales = model::adapters::scales(&plan.model, &plan.adapter).ok()?;
    let least = scales.iter().copied().reduce(f64::min)?;
    let most = scales.iter().copied().fold(least, f64::max);
    let (of, auto) = if l.rslora { ("alpha / √r", "2 √r") } else { ("alpha / r", "2 r") };
    let ranks = l.rank_pattern.len() + l.alpha_pattern.len();
    let why = if (least, most) == (AUTO_SCALE, AUTO_SCALE) {
        match (l.rslora, ranks) {
            (false, 0) => format!("alpha is {auto}, so another rank keeps the scale"),
            (false, _) => format!("alpha is {auto} of each module's own rank, so all have one scale"),
            (true, _) => {
                format!("alpha is {auto} of each module's own rank: LoRA's scale with 2 r, and its learning rates")
            }
        }
    } else if least < most {
        "patterns give modules scales of their own; alpha: auto would make it 2 in all".to_owned()
    } else if l.rslora {
        "with a fixed alpha it falls with √r as the rank grows".to_owned()
    } else {
        "with a fixed alpha it falls as the rank grows".to_owned()
    };
    let scale = if least < most { format!("{} to {}", shown(least), shown(most)) } else { shown(least) };
    Some(format!("{scale} = {of}: {why}"))
}

/// To three decimals, without zeros at the end.
fn shown(x: f64) -> String {
    format!("{x:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn rate_line(plan: &Plan) -> String {
    let t = &plan.train;
    let schedule = match t.schedule {
        Schedule::Constant => "constant",
        Schedule::Linear => "linear",
        Schedule::Cosine => "cosine",
    };
    let warmup = match t.warmup {
        Warmup::Steps(steps) => format!("{} steps", count(steps)),
        Warmup::Ratio(ratio) => format!("{} % of the steps", 100.0 * ratio),
    };
    format!("lr {}, {schedule}, warm-up {warmup}", t.lr)
}

fn batch_unit(plan: &Plan) -> &'static str {
    match plan.data.lengths.packing {
        data::Packing::Examples => "examples",
        data::Packing::Bfd | data::Packing::BfdSplit | data::Packing::Wrapped => "packed rows",
    }
}

fn counts(page: &mut Page, name: &str, c: &Counts) {
    let supervised = 100.0 * c.supervised_tokens as f64 / c.tokens.max(1) as f64;
    page.row(
        name,
        &format!(
            "{} examples of {} rows, {} tokens ({supervised:.0} % supervised), longest {}",
            count(c.examples),
            count(c.rows),
            count(c.tokens),
            count(c.longest)
        ),
    );
    for (reason, n) in &c.aside {
        page.row("", &format!("{} rows: {}", count(*n), visible(&reason.replace('_', " "))));
    }
    if c.control_text > 0 {
        page.row("", &format!("{} pieces of control-token text became ordinary tokens", count(c.control_text)));
    }
}

/// One example token by token. Supervised tokens are coloured; brackets say the same where there is no colour.
fn sample(page: &mut Page, p: &Preview) {
    let colored = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    page.title(if colored {
        "one example, learned tokens coloured"
    } else {
        "one example, learned tokens in [brackets]"
    });
    if let Some(origin) = &p.sample_origin {
        page.row("from", &format!("{}:{}", shown_path(Path::new(&*origin.file)), origin.line));
    }
    let style = Style::new().fg_color(Some(AnsiColor::Green.into())).bold();
    let (mut used, mut column, mut in_mask) = (0, 0, false);
    let mut text = String::from("  ");
    for (token, supervised) in &p.sample {
        let shown = visible(token);
        if used + shown.width() > SAMPLE_COLUMNS {
            break;
        }
        used += shown.width();
        if *supervised != in_mask {
            text.push_str(&mark(*supervised, colored, style));
            column += usize::from(!colored);
            in_mask = *supervised;
        }
        for c in shown.chars() {
            let width = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
            if column + width > COLUMNS - 4 {
                text.push_str("\n  ");
                column = 0;
            }
            text.push(c);
            column += width;
        }
    }
    if in_mask {
        text.push_str(&mark(false, colored, style));
    }
    if used < p.sample.iter().map(|(t, _)| visible(t).width()).sum() {
        text.push_str(" …");
    }
    page.text.push_str(&text);
    page.text.push('\n');
}

fn mark(begins: bool, colored: bool, style: Style) -> String {
    match (begins, colored) {
        (true, true) => style.render().to_string(),
        (false, true) => style.render_reset().to_string(),
        (true, false) => "[".into(),
        (false, false) => "]".into(),
    }
}

/// Label and value, a line each, within the columns.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn row(&mut self, label: &str, value: &str) {
        let value = wrapped(value, COLUMNS - LABEL, 0).replace('\n', &format!("\n{:LABEL$}", ""));
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{label:<LABEL$}{value}");
    }

    fn title(&mut self, text: &str) {
        let bold = Style::new().bold();
        let _ = writeln!(self.text, "\n{bold}{}{bold:#}", shortened(text, COLUMNS));
    }
}
