//! `athanor quantize`: a base in 4 bits, once, for all runs that train on it.

use crate::args::QuantizeArgs;
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::text::bytes;
use crate::ui::{Look, Reporter, shown_path};
use serde_json::json;

pub fn quantize(args: &QuantizeArgs, look: Look) -> Result<(), Failure> {
    let (model, out) = (std::path::absolute(&args.model)?, std::path::absolute(&args.out)?);
    let signals = Signals::install()?;
    let mut reporter = Reporter::new(look);
    let double = !args.no_double_quant;
    let result =
        train::quantize(&model, &out, double, &runfs::RealFs, signals.stop(), &mut |event| reporter.on(&event));
    reporter.finish();
    let done = result.map_err(|e| Failure::of_run(e, signals))?;
    let text = match look {
        Look::Json => {
            let mut value = json!(done);
            value["event"] = "done".into();
            format!("{value}\n")
        }
        Look::Human | Look::Quiet => format!(
            "model    {}\nweights  {}, before {}; a plan's `model` may name this folder\n",
            shown_path(&done.out),
            bytes(done.bytes),
            bytes(done.bytes_before)
        ),
    };
    crate::ui::print(&text)?;
    Ok(())
}
