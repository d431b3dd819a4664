//! The page of a recorded scan: `cargo run -p report --example page -- scan.json scan.html [zh]`.

use report::Language;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, language) = match arguments.as_slice() {
        [input, output] => (input, output, Language::English),
        [input, output, zh] if zh == "zh" => (input, output, Language::Chinese),
        _ => return Err("usage: page SCAN.json PAGE.html [zh]".into()),
    };
    let scan = serde_json::from_slice(&std::fs::read(input)?)?;
    std::fs::write(output, report::scan::page(&scan, language))?;
    println!("{}", report::terminal(&scan, Some(output), language, 80, report::terminal::Colour::Plain));
    Ok(())
}
