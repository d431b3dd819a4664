//! Prepares a jsonl file, reads one epoch of it, and prints the time and the peak memory of the process:
//! `cargo run --release -p data --example prepare -- MODEL_DIR FILE CACHE_DIR`. Used by `benches/streaming`.

use data::{
    BadRows, DataError, DataPlan, Epoch, LengthPlan, LossOn, OverLength, Packing, Source, Template, TextPlan, prepare,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), DataError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model_dir, file, cache_dir] = args.as_slice() else {
        eprintln!("usage: prepare MODEL_DIR FILE CACHE_DIR");
        std::process::exit(2);
    };
    let lengths = LengthPlan { seq_len_max: 512, over: OverLength::Truncate, packing: Packing::Bfd };
    let plan = DataPlan {
        train: vec![Source {
            path: file.into(),
            format: None,
            columns: BTreeMap::new(),
            tags: BTreeMap::new(),
            task: None,
        }],
        valid: None,
        unseen: Vec::new(),
        text: TextPlan {
            model_dir: model_dir.into(),
            template: Template::Plain("{prompt} => {completion}".into()),
            loss_on: LossOn::Response,
            record_bytes_max: 8 << 20,
        },
        lengths,
        bad_rows: BadRows::Stop,
        mix: None,
        replay: None,
    };
    let start = Instant::now();
    let prepared = prepare(&plan, 0, Path::new(cache_dir), &mut |_, _, _| true)?;
    let prepared_s = start.elapsed().as_secs_f64();
    let after_prepare = peak_mib();
    let start = Instant::now();
    let epoch = Epoch::new(&prepared.train, &lengths, 0, 0);
    let mut tokens = 0;
    for unit in 0..epoch.len() {
        for piece in epoch.unit(unit)? {
            tokens += prepared.train.example(piece.example)?.ids[piece.tokens].len();
        }
    }
    println!(
        "{{\"rows\": {}, \"tokens\": {tokens}, \"prepare_s\": {prepared_s:.1}, \"epoch_s\": {:.1}, \"peak_mib_prepare\": {after_prepare:.1}, \"peak_mib\": {:.1}}}",
        prepared.train_counts.rows,
        start.elapsed().as_secs_f64(),
        peak_mib()
    );
    Ok(())
}

/// The largest resident size so far, where the system tells.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).map_or(f64::NAN, |kib| kib / 1024.0)
}
