use std::io::BufRead;
fn main() {
    let t = std::time::Instant::now();
    let j = jieba_rs::Jieba::new();
    eprintln!("load {:?}", t.elapsed());
    for l in std::io::stdin().lock().lines().map_while(Result::ok) {
        println!("{}", j.tag(&l, false).iter().map(|t| format!("{}/{}", t.word, t.tag)).collect::<Vec<_>>().join(" "));
    }
}
