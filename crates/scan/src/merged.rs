//! The findings of all shards and those about the whole set, row after row, whoever found them.

use crate::finding::Finding;
use crate::lengths::Place;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

/// A row's findings as a shard keeps them until all are known.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Index of the file.
    f: u32,
    findings: Vec<Finding>,
}

/// The findings of a shard's rows, written in their order.
pub struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Writer {
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), out: BufWriter::with_capacity(1 << 20, File::create(path)?) })
    }

    /// All of a row's; they are of one line.
    pub fn push(&mut self, file: u32, findings: Vec<Finding>) -> io::Result<()> {
        if findings.is_empty() {
            return Ok(());
        }
        serde_json::to_writer(&mut self.out, &Kept { f: file, findings })?;
        self.out.write_all(b"\n")
    }

    pub fn finish(mut self) -> io::Result<PathBuf> {
        self.out.flush()?;
        Ok(self.path)
    }
}

struct Reader {
    lines: io::Lines<BufReader<File>>,
}

impl Iterator for Reader {
    type Item = io::Result<(Place, Vec<Finding>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.lines.next()? {
            Ok(line) => line,
            Err(e) => return Some(Err(e)),
        };
        let kept: Kept = match serde_json::from_str(&line) {
            Ok(kept) => kept,
            Err(e) => return Some(Err(e.into())),
        };
        let line = kept.findings.first().map_or(0, |finding| finding.line);
        Some(Ok(((kept.f, line), kept.findings)))
    }
}

/// Rows with findings in the order of files and lines: from the shards' files, and from `whole`, which is sorted by place.
pub struct Merged {
    shards: Vec<Peekable<Reader>>,
    whole: Peekable<std::vec::IntoIter<(Place, Finding)>>,
}

impl Merged {
    pub fn open(paths: &[PathBuf], whole: Vec<(Place, Finding)>) -> io::Result<Self> {
        let open = |path: &PathBuf| Ok(Reader { lines: BufReader::new(File::open(path)?).lines() }.peekable());
        Ok(Self { shards: paths.iter().map(open).collect::<io::Result<_>>()?, whole: whole.into_iter().peekable() })
    }
}

impl Iterator for Merged {
    type Item = io::Result<(Place, Vec<Finding>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut first: Option<Place> = self.whole.peek().map(|(place, _)| *place);
        for shard in &mut self.shards {
            match shard.peek() {
                Some(Ok((place, _))) => first = Some(first.map_or(*place, |first| first.min(*place))),
                Some(Err(_)) => return shard.next(),
                None => {}
            }
        }
        let place = first?;
        let mut findings = Vec::new();
        for shard in &mut self.shards {
            // A shard has a row once; a row is in one shard.
            while let Some(Ok((_, of_row))) = shard.next_if(|row| matches!(row, Ok((at, _)) if *at == place)) {
                findings.extend(of_row);
            }
        }
        while let Some((_, finding)) = self.whole.next_if(|(at, _)| *at == place) {
            findings.push(finding);
        }
        Some(Ok((place, findings)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Check;

    #[test]
    fn rows_come_in_order_with_all_their_findings() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let mut paths = Vec::new();
        for (shard, lines) in [[2, 5], [1, 4]].iter().enumerate() {
            let mut writer = Writer::create(&dir.path().join(shard.to_string()))?;
            for line in lines {
                writer.push(0, vec![Finding::new(Check::Fault, "html", *line)])?;
            }
            writer.push(1, Vec::new())?;
            paths.push(writer.finish()?);
        }
        let whole = [(0, 1), (0, 3), (1, 1)].map(|(f, line)| ((f, line), Finding::new(Check::Duplicate, "near", line)));
        let rows: Vec<(Place, usize)> = Merged::open(&paths, whole.into())?
            .map(|row| row.map(|(place, findings)| (place, findings.len())))
            .collect::<io::Result<_>>()?;
        assert_eq!(rows, [((0, 1), 2), ((0, 2), 1), ((0, 3), 1), ((0, 4), 1), ((0, 5), 1), ((1, 1), 1)]);
        Ok(())
    }
}
