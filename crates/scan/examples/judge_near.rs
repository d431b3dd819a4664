//! How right and how fast near duplicates are found, on records with a truth.
//!
//! - `judge_near planted RECORDS.jsonl TRUTH.jsonl`: recall of each variant, precision of groups, recall of pairs against
//!   brute force. Records have `id`, `text` (or `instruction`, `input`, `output`) and `lang`; truth lines `a`, `b`, `variant`.
//! - `judge_near own ENGLISH CHINESE SEED`: the same on texts of this project's generator.
//! - `judge_near natural FOLDER`: duplicates that are in public sets, and test rows of Banking77 that are in its training
//!   rows. The folder holds `planted/natural_dups_truth.json` and the sets.
//! - `judge_near pairs RECORDS.jsonl`: the first groups of near duplicates and templates, to look at.
//! - `judge_near leaks RECORDS.jsonl`: every tenth row as evaluation, and the processor time that takes.
//! - `judge_near speed RECORDS.jsonl [TIMES]`: records per second of processor time, and memory; the file is read so many
//!   times over, each time as other rows of other words.

use measures::Part;
use measures::near::{ShingleSet, normalise, overlap};
use rayon::prelude::*;
use scan::near::{Found, Index, Key, Kind, SetId, Settings, Shard, find, sketch};
use scan::{Field, Row};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["planted", records, truth] => planted_files(records.as_ref(), truth.as_ref()),
        ["own", english, chinese, seed] => own(english.parse()?, chinese.parse()?, seed.parse()?),
        ["natural", folder] => natural(folder.as_ref()),
        ["pairs", file] => pairs(file.as_ref()),
        ["leaks", records] => leaks(records.as_ref()),
        ["speed", records] => speed(records.as_ref(), 1),
        ["speed", records, times] => speed(records.as_ref(), times.parse()?),
        _ => Err("see the first lines of crates/scan/examples/judge_near.rs".into()),
    }
}

/// A text with the language it is in.
struct Record {
    id: String,
    language: String,
    fields: Vec<Field>,
}

/// Two ids that belong together, and how.
struct Pair {
    a: String,
    b: String,
    variant: String,
}

fn planted_files(records: &Path, truth: &Path) -> Outcome<()> {
    let records = lines(records)?.iter().map(record).collect();
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    let truth = lines(truth)?;
    let pairs = truth.iter().map(|v| Pair { a: text(v, "a"), b: text(v, "b"), variant: text(v, "variant") });
    judge(records, pairs.collect())
}

fn record(v: &Value) -> Record {
    let id = v["id"].as_str().unwrap_or_default().to_owned();
    let language = v["lang"].as_str().unwrap_or(id.get(..2).unwrap_or_default()).to_owned();
    Record { id, language, fields: fields(v) }
}

fn fields(v: &Value) -> Vec<Field> {
    let parts = [
        ("text", Part::Text),
        ("instruction", Part::Instruction),
        ("input", Part::Instruction),
        ("question", Part::Instruction),
        ("output", Part::Response),
        ("answer", Part::Response),
    ];
    let field = |(name, part): (&str, Part)| {
        let text = v[name].as_str()?.to_owned();
        Some(Field { name: name.to_owned(), part, text })
    };
    parts.into_iter().filter_map(field).collect()
}

fn own(english: usize, chinese: usize, seed: u64) -> Outcome<()> {
    let made = planted::near::records(english, chinese, seed);
    let id = |i: usize| format!("r{i}");
    let records = made.records.iter().enumerate().map(|(i, r)| Record {
        id: id(i),
        language: format!("{:?}", r.language),
        fields: vec![Field { name: "text".to_owned(), part: Part::Text, text: r.text.clone() }],
    });
    let pair = |p: &planted::near::Pair| {
        let variant = made.records[p.copy].variant.name().to_owned();
        Pair { a: id(p.base), b: id(p.copy), variant }
    };
    judge(records.collect(), made.pairs.iter().map(pair).collect())
}

fn judge(records: Vec<Record>, pairs: Vec<Pair>) -> Outcome<()> {
    let rows: Vec<(Row, SetId)> =
        records.iter().zip(1..).map(|(r, line)| (row(0, line, r.fields.clone()), SetId::TRAIN)).collect();
    let found = run(&rows, Settings::default())?;
    println!("{}", serde_json::to_string(&found.summary)?);
    let groups = Groups::of(&found, rows.len());

    let nr: HashMap<&str, usize> = records.iter().enumerate().map(|(i, r)| (r.id.as_str(), i)).collect();
    let mut by_variant: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
    let mut truth = Unions::new(records.len());
    for pair in &pairs {
        let (a, b) = (nr[pair.a.as_str()], nr[pair.b.as_str()]);
        truth.join(a, b);
        let [all, same, kept] = by_variant.entry((&pair.variant, &records[a].language)).or_default();
        *all += 1;
        *same += usize::from(groups.same(a, b));
        *kept += usize::from(groups.same(a, b) && !groups.removed[b]);
    }
    for ((variant, language), [all, same, kept]) in &by_variant {
        println!("{variant:<14}{language:<8}{same:>6} of {all:<6}{:.4}  kept {kept}", share(*same, *all));
    }
    let borderline = ["drop30", "numeric_edit"];
    let dup = by_variant.iter().filter(|((variant, _), _)| !borderline.contains(variant));
    let (same, all) = dup.fold((0, 0), |(s, a), (_, [all, same, _])| (s + same, a + all));
    println!("recall of duplicates {same} of {all}: {:.4}", share(same, all));
    let (mut right, mut wrong) = (0, 0);
    for members in groups.sets() {
        for (i, &a) in members.iter().enumerate() {
            for &b in &members[..i] {
                let good = truth.of(a) == truth.of(b);
                right += usize::from(good);
                wrong += usize::from(!good);
                if !good && wrong < 6 {
                    println!("wrong: {} {}", text(&records[a].fields), text(&records[b].fields));
                }
            }
        }
    }
    println!("precision of pairs in groups: {:.4} ({wrong} wrong)", share(right, right + wrong));
    brute_force(&records, &groups);
    Ok(())
}

/// Recall of pairs at or above the threshold, by language.
fn brute_force(records: &[Record], groups: &Groups) {
    let threshold = Settings::default().jaccard;
    let sets: Vec<ShingleSet> = records.par_iter().map(|r| ShingleSet::of(&normal(&r.fields))).collect();
    let mut by_shingle: HashMap<u32, Vec<u32>> = HashMap::new();
    for (i, set) in sets.iter().enumerate() {
        set.hashes().iter().for_each(|&hash| by_shingle.entry(hash).or_default().push(i as u32));
    }
    let above: Vec<(usize, usize)> = (0..sets.len())
        .into_par_iter()
        .flat_map_iter(|b| {
            let mut counts: HashMap<u32, usize> = HashMap::new();
            for hash in sets[b].hashes() {
                by_shingle[hash]
                    .iter()
                    .take_while(|&&a| (a as usize) < b)
                    .for_each(|&a| *counts.entry(a).or_default() += 1);
            }
            let least = threshold / 2.0 * sets[b].len() as f32;
            let likely = counts.into_iter().filter(move |&(_, both)| both as f32 >= least);
            let sets = &sets;
            likely
                .map(move |(a, _)| (a as usize, b))
                .filter(move |&(a, b)| overlap(&sets[a], &sets[b]).jaccard() >= threshold)
        })
        .collect();
    let mut by_language: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (a, b) in above {
        let [all, same] = by_language.entry(&records[a].language).or_default();
        *all += 1;
        *same += usize::from(groups.same(a, b));
    }
    for (language, [all, same]) in by_language {
        println!("pairs at or above {threshold} in {language}: {same} of {all}: {:.4}", share(same, all));
    }
}

fn natural(folder: &Path) -> Outcome<()> {
    let truth: Value = serde_json::from_slice(&std::fs::read(folder.join("planted/natural_dups_truth.json"))?)?;
    for name in [
        "alpaca_en_demo",
        "alpaca_zh_demo",
        "glaive_toolcall_en_demo",
        "glaive_toolcall_zh_demo",
        "dpo_en_demo",
        "dpo_zh_demo",
    ] {
        let path = folder.join("llamafactory").join(name).with_extension("json");
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let array: Vec<Value> = serde_json::from_slice(&bytes)?;
        let rows: Vec<_> = array.iter().zip(1..).map(|(v, line)| (row(0, line, leaves(v)), SetId::TRAIN)).collect();
        let found = run(&rows, Settings::default())?;
        compare(name, "exact", &truth["sets"][name]["exact"], &found, rows.len(), Kind::Exact);
        if truth["sets"][name]["same_instruction_and_input"].is_array() {
            let rows: Vec<_> = array.iter().zip(1..).map(|(v, line)| (row(0, line, fields(v)), SetId::TRAIN)).collect();
            let settings = Settings { key: Key::Instruction, ..Settings::default() };
            let found = run(&rows, settings)?;
            let wanted = &truth["sets"][name]["same_instruction_and_input"];
            compare(name, "same instruction", wanted, &found, rows.len(), Kind::Normalised);
        }
    }
    let train = csv(&folder.join("banking77/train.csv"))?;
    let test = csv(&folder.join("banking77/test.csv"))?;
    let key = "banking77_train (0-based record)";
    let rows = |file: u32, texts: &[String], set: SetId| {
        let field = |text: &String| vec![Field { name: "text".to_owned(), part: Part::Text, text: text.clone() }];
        texts.iter().zip(1..).map(|(text, line)| (row(file, line, field(text)), set)).collect::<Vec<_>>()
    };
    let mut all = rows(0, &train, SetId::TRAIN);
    let found = run(&all, Settings::default())?;
    compare(key, "normalised", &truth["sets"][key]["normalised"], &found, all.len(), Kind::Normalised);
    println!("{}", serde_json::to_string(&found.summary)?);
    all.extend(rows(1, &test, SetId(1)));
    let found = run(&all, Settings::default())?;
    println!("{}", serde_json::to_string(&found.summary)?);
    let wanted =
        truth["sets"]["banking77_contamination test->train (normalised)"].as_array().cloned().unwrap_or_default();
    let wanted: HashSet<u64> = wanted.iter().filter_map(|v| v[0].as_u64()).collect();
    let leaked: HashSet<u64> =
        found.leaks.iter().filter(|l| l.kind == scan::near::LeakKind::Exact).map(|l| l.eval.line - 1).collect();
    println!(
        "Banking77 rows leaked: {} of {}, {} more",
        wanted.intersection(&leaked).count(),
        wanted.len(),
        leaked.difference(&wanted).count()
    );
    Ok(())
}

/// Every string of a value, however deep.
fn leaves(v: &Value) -> Vec<Field> {
    fn walk(v: &Value, name: String, into: &mut Vec<Field>) {
        match v {
            Value::Object(map) => map.iter().for_each(|(k, v)| walk(v, format!("{name}.{k}"), into)),
            Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| walk(v, format!("{name}[{i}]"), into)),
            Value::String(text) => into.push(Field { name, part: Part::Text, text: text.clone() }),
            other => into.push(Field { name, part: Part::Text, text: other.to_string() }),
        }
    }
    let mut fields = Vec::new();
    walk(v, String::new(), &mut fields);
    fields
}

/// Which groups of a truth (0-based rows) are whole in one found group, and how many groups of that kind there are besides.
fn compare(name: &str, what: &str, wanted: &Value, found: &Found, rows: usize, kind: Kind) {
    let groups = Groups::of(found, rows);
    let wanted: Vec<Vec<usize>> = serde_json::from_value(wanted.clone()).unwrap_or_default();
    let whole = wanted.iter().filter(|g| g.iter().all(|&row| groups.same(g[0], row))).count();
    let surplus: usize = wanted.iter().map(|g| g.len() - 1).sum();
    let of_kind: Vec<_> = found.groups.iter().filter(|g| g.kind <= kind).collect();
    let removed: usize = of_kind.iter().map(|g| g.members.iter().filter(|m| !m.keep).count()).sum();
    println!(
        "{name}, {what}: {whole} of {} groups whole ({surplus} surplus rows); found {} groups, {removed} surplus",
        wanted.len(),
        of_kind.len()
    );
}

/// What else a file holds that is alike, to look at.
fn pairs(file: &Path) -> Outcome<()> {
    let rows: Vec<_> = lines(file)?.iter().zip(1..).map(|(v, line)| (row(0, line, fields(v)), SetId::TRAIN)).collect();
    let found = run(&rows, Settings::default())?;
    println!("{}", serde_json::to_string(&found.summary)?);
    for group in found.groups.iter().filter(|g| g.kind >= Kind::Near).take(40) {
        println!("{:?} of {}", group.kind, group.members.len());
        for m in group.members.iter().take(3) {
            println!("  {} {:.2} {}", m.keep, m.similarity, text(&rows[m.row.line as usize - 1].0.fields));
        }
    }
    Ok(())
}

fn leaks(records: &Path) -> Outcome<()> {
    let set = |line: u64| if line.is_multiple_of(10) { SetId(1) } else { SetId::TRAIN };
    let rows: Vec<_> = lines(records)?.iter().zip(1..).map(|(v, line)| (row(0, line, fields(v)), set(line))).collect();
    for all in [true, false] {
        let kept: Vec<_> = rows.iter().filter(|(_, set)| all || set.is_train()).cloned().collect();
        let cpu = cpu_seconds();
        let found = run(&kept, Settings::default())?;
        println!("{:.2} s of processor time for {} rows", cpu_seconds() - cpu, kept.len());
        println!("{}", serde_json::to_string(&found.summary)?);
    }
    Ok(())
}

fn speed(records: &Path, times: u64) -> Outcome<()> {
    let (start, cpu) = (std::time::Instant::now(), cpu_seconds());
    let folder = tempfile::tempdir()?;
    let settings = Settings::default();
    let mut index = Index::create(folder.path(), Shard::ONLY, settings)?;
    for time in 0..times {
        let mut file = BufReader::with_capacity(1 << 20, std::fs::File::open(records)?);
        let mut line_nr = 0;
        loop {
            let mut chunk = Vec::with_capacity(1024);
            while chunk.len() < 1024 {
                let mut line = String::new();
                if file.read_line(&mut line)? == 0 {
                    break;
                }
                line_nr += 1;
                chunk.push((line_nr, line));
            }
            if chunk.is_empty() {
                break;
            }
            let sketches: Vec<_> = chunk
                .par_iter()
                .map(|(nr, line)| {
                    let value: Value = serde_json::from_str(line).unwrap_or_default();
                    let mut fields = fields(&value);
                    if time > 0 {
                        fields.iter_mut().for_each(|f| f.text = other_words(&f.text, time));
                    }
                    sketch(&row(time as u32, *nr, fields), SetId::TRAIN, &settings)
                })
                .collect();
            for sketch in &sketches {
                index.push(sketch)?;
            }
        }
    }
    let rows = index.len();
    let spool = index.close()?;
    let sketched = cpu_seconds() - cpu;
    let found = find(&[spool], &|| false)?;
    let spent = cpu_seconds() - cpu;
    println!("{}", serde_json::to_string(&found.summary)?);
    println!(
        "{rows} rows: {:.0} a second of processor time ({sketched:.2} s for sketches, {:.2} s to find), {:.2} s in all, {} MB",
        rows as f64 / spent,
        spent - sketched,
        start.elapsed().as_secs_f64(),
        peak_megabytes()
    );
    Ok(())
}

/// Each word turned into another of the same length, the same for the same word and time.
fn other_words(text: &str, time: u64) -> String {
    let turn = |c: char| match c {
        'a'..='z' => char::from(
            b'a' + ((c as u64 - 'a' as u64) * [1, 3, 5, 7, 9, 11, 15, 17, 19, 21, 23, 25][(time % 12) as usize] + time)
                as u8
                % 26,
        ),
        '\u{4e00}'..='\u{9fff}' => {
            let n = (c as u64 - 0x4e00) * (2 * time + 1) + 7919 * time;
            char::from_u32(0x4e00 + (n % 20992) as u32).unwrap_or(c)
        }
        _ => c,
    };
    text.chars().map(turn).collect()
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn run(rows: &[(Row, SetId)], settings: Settings) -> Outcome<Found> {
    let folder = tempfile::tempdir()?;
    let mut index = Index::create(folder.path(), Shard::ONLY, settings)?;
    let sketches: Vec<_> = rows.par_iter().map(|(row, set)| sketch(row, *set, &settings)).collect();
    for sketch in &sketches {
        index.push(sketch)?;
    }
    Ok(find(&[index.close()?], &|| false)?)
}

fn row(file: u32, line: u64, fields: Vec<Field>) -> Row {
    Row { file, line, fields }
}

fn lines(path: &Path) -> Outcome<Vec<Value>> {
    let text = std::fs::read_to_string(path)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The first column of a file whose quoted fields hold no line ends that matter here.
fn csv(path: &Path) -> Outcome<Vec<String>> {
    let text = std::fs::read_to_string(path)?;
    let (mut rows, mut field, mut quoted, mut first) = (Vec::new(), String::new(), false, true);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                if first {
                    field.push('"');
                }
            }
            '"' => quoted = !quoted,
            ',' if !quoted => first = false,
            '\n' if !quoted => {
                rows.push(std::mem::take(&mut field));
                first = true;
            }
            c if first => field.push(c),
            _ => {}
        }
    }
    rows.remove(0);
    Ok(rows)
}

fn normal(fields: &[Field]) -> String {
    let texts: Vec<String> = fields.iter().map(|f| normalise(&f.text).text).filter(|t| !t.is_empty()).collect();
    texts.join("\n")
}

fn text(fields: &[Field]) -> String {
    let texts: Vec<&str> = fields.iter().map(|f| f.text.as_str()).collect();
    texts.join(" / ").chars().take(150).collect::<String>().replace('\n', "\\n")
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// The group of each row of file 0, by number, and whether it is removed.
struct Groups {
    same: Vec<usize>,
    removed: Vec<bool>,
}

impl Groups {
    fn of(found: &Found, rows: usize) -> Self {
        let mut groups = Self { same: vec![0; rows], removed: vec![false; rows] };
        for (group, id) in found.groups.iter().zip(1..) {
            for member in &group.members {
                groups.same[member.row.line as usize - 1] = id;
                groups.removed[member.row.line as usize - 1] = !member.keep;
            }
        }
        groups
    }

    fn same(&self, a: usize, b: usize) -> bool {
        self.same[a] != 0 && self.same[a] == self.same[b]
    }

    fn sets(&self) -> Vec<Vec<usize>> {
        let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        self.same
            .iter()
            .enumerate()
            .filter(|(_, id)| **id != 0)
            .for_each(|(i, &id)| sets.entry(id).or_default().push(i));
        sets.into_values().collect()
    }
}

struct Unions(Vec<usize>);

impl Unions {
    fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    fn of(&self, mut i: usize) -> usize {
        while self.0[i] != i {
            i = self.0[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        self.0[a.max(b)] = a.min(b);
    }
}
