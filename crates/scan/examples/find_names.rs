//! Names in the lines of a text file, by a model: `find_names MODEL_FOLDER TEXT_FILE`, with `ORT_DYLIB_PATH` set.

use scan::ner::Ner;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, file] = args.as_slice() else { return Err("usage: find_names MODEL_FOLDER TEXT_FILE".into()) };
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut ner = Ner::open(Path::new(folder))?;
    for (line, spots) in lines.iter().zip(ner.find(&lines)?) {
        for spot in spots {
            println!(
                "{} {:.2} {}..{} {}",
                spot.kind,
                spot.confidence,
                spot.at.start,
                spot.at.end,
                &line[spot.at.clone()]
            );
        }
    }
    Ok(())
}
