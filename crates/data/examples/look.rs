//! Says what data files are found to be, and what is wrong with their rows: `cargo run -p data --example look -- FILE...`

use data::{DataError, Records, Source};
use std::collections::BTreeMap;

const RECORD_BYTES_MAX: u64 = 8 << 20;
const FAULTS_SHOWN: usize = 3;

fn main() {
    for path in std::env::args_os().skip(1) {
        let source =
            Source { path: path.into(), format: None, columns: BTreeMap::new(), tags: BTreeMap::new(), task: None };
        match look(&source) {
            Ok(said) => println!("{}: {said}", source.path.display()),
            Err(e) => println!("refused: {e}"),
        }
    }
}

fn look(source: &Source) -> Result<String, DataError> {
    let records = Records::open(source, RECORD_BYTES_MAX, &std::env::temp_dir())?;
    let note = records.note.clone();
    let (mut good, mut faults, mut shown) = (0u64, BTreeMap::<&str, u64>::new(), Vec::new());
    for record in records {
        match record {
            Ok(_) => good += 1,
            Err(DataError::BadRow { fault, fault_at }) => {
                *faults.entry(fault.reason()).or_default() += 1;
                if shown.len() < FAULTS_SHOWN {
                    shown.push(format!("\n    {fault_at}: {fault}"));
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(format!("{note}; {good} records, faults {faults:?}{}", shown.concat()))
}
