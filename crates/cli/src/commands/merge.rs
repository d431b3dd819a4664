//! `athanor merge`: an adapter folded into its base.

use crate::args::{MergeArgs, MergeQuantize, MergeType};
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::text::bytes;
use crate::ui::{Look, Reporter, shown_path};
use model::Quantize;
use serde_json::json;
use train::MergePlan;

pub fn merge(args: &MergeArgs, look: Look) -> Result<(), Failure> {
    let plan = MergePlan {
        adapter: std::path::absolute(&args.adapter)?,
        base: std::path::absolute(&args.base)?,
        out: std::path::absolute(&args.out)?,
        dtype: args.dtype.map(|dtype| match dtype {
            MergeType::F32 => weights::Dtype::F32,
            MergeType::F16 => weights::Dtype::F16,
            MergeType::Bf16 => weights::Dtype::BF16,
        }),
        quantize: args.quantize.map(|form| match form {
            MergeQuantize::None => Quantize::None,
            MergeQuantize::Nf4 => Quantize::Nf4 { double: !args.no_double_quant },
        }),
        threads: args.threads.map(|n| n as usize),
        other_base: args.other_base,
        check: !args.no_check,
    };
    let signals = Signals::install()?;
    let mut reporter = Reporter::new(look);
    let result = train::merge(&plan, &runfs::RealFs, signals.stop(), &mut |event| reporter.on(&event));
    reporter.finish();
    let done = result.map_err(|e| Failure::of_run(e, signals))?;
    if look == Look::Json {
        let mut value = json!(done);
        value["event"] = "done".into();
        crate::ui::print(&format!("{value}\n"))?;
        return Ok(());
    }
    let mut text = format!("model    {}\nweights  {}\n", shown_path(&done.out), bytes(done.bytes));
    if done.quantize != Quantize::None {
        text.push_str("base     its layers with their values in NF4, beside which it was trained\n");
    }
    if let (Some(before), Some(after)) = (done.kl_before_rounding, done.kl) {
        text.push_str(&format!(
            "differs  by {after:.2e} nats a token from the adapter beside its base (KL);\n         {before:.2e} before \
             the weights were rounded\n"
        ));
    }
    crate::ui::print(&text)?;
    Ok(())
}
