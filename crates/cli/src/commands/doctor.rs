//! `athanor doctor`: what this machine offers a run. It reads what the system says and starts nothing.

use crate::exit::Failure;
use crate::ui::Look;
use crate::ui::text::{bytes, visible};
use runfs::Fs;
use serde::Serialize;
use std::path::Path;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

#[derive(Debug, Serialize)]
struct Report {
    event: &'static str,
    version: &'static str,
    os: String,
    arch: &'static str,
    processor: String,
    /// Threads that a run uses without `train.threads`.
    threads: usize,
    features: Vec<Feature>,
    memory_total: u64,
    memory_free: u64,
    disk_free: u64,
    gpus: Vec<String>,
}

/// A set of instructions that the kernels can use.
#[derive(Debug, Serialize)]
struct Feature {
    name: &'static str,
    present: bool,
}

pub fn show(look: Look) -> Result<(), Failure> {
    let report = examine()?;
    crate::ui::print(&match look {
        Look::Json => format!("{}\n", serde_json::to_string(&report).map_err(std::io::Error::other)?),
        Look::Human | Look::Quiet => as_text(&report),
    })?;
    Ok(())
}

fn examine() -> Result<Report, Failure> {
    let system = System::new_with_specifics(
        RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram()),
    );
    let system = system.map_err(std::io::Error::other)?;
    let (memory_total, memory_free) = memory(&system);
    Ok(Report {
        event: "doctor",
        version: env!("CARGO_PKG_VERSION"),
        os: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.into()),
        arch: std::env::consts::ARCH,
        processor: system.cpus().first().map_or_else(String::new, |cpu| cpu.brand().trim().to_owned()),
        threads: std::thread::available_parallelism()?.get(),
        features: features(),
        memory_total,
        memory_free,
        disk_free: runfs::RealFs.free_bytes(Path::new("."))?,
        gpus: gpus(Path::new("/proc/driver/nvidia/gpus")),
    })
}

/// Total and free bytes; inside a container its limit counts, not the machine.
fn memory(system: &System) -> (u64, u64) {
    match system.cgroup_limits() {
        Some(limits) if limits.total_memory < system.total_memory() => {
            (limits.total_memory, limits.free_memory.min(system.available_memory()))
        }
        _ => (system.total_memory(), system.available_memory()),
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<Feature> {
    vec![
        Feature { name: "AVX2", present: std::is_x86_feature_detected!("avx2") },
        Feature { name: "FMA", present: std::is_x86_feature_detected!("fma") },
        Feature { name: "AVX-512", present: std::is_x86_feature_detected!("avx512f") },
        Feature { name: "AVX-512 BF16", present: std::is_x86_feature_detected!("avx512bf16") },
        // which the system must allow, too
        Feature { name: "AMX BF16", present: kernels::cpu::Level::best().name() == "amx_bf16" },
    ]
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<Feature> {
    vec![
        Feature { name: "NEON", present: std::arch::is_aarch64_feature_detected!("neon") },
        Feature { name: "BF16", present: std::arch::is_aarch64_feature_detected!("bf16") },
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<Feature> {
    Vec::new()
}

/// Names of the GPUs that the NVIDIA driver lists; none where there is no driver.
fn gpus(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path().join("information")).unwrap_or_default();
            let model = text.lines().find_map(|line| line.strip_prefix("Model:"));
            model.map_or_else(|| "NVIDIA GPU".into(), |m| visible(m.trim()))
        })
        .collect();
    names.sort();
    names
}

fn as_text(r: &Report) -> String {
    let (present, absent): (Vec<_>, Vec<_>) = r.features.iter().partition(|f| f.present);
    let names = |list: &[&Feature]| list.iter().map(|f| f.name).collect::<Vec<_>>().join(", ");
    let features = match (present.is_empty(), absent.is_empty()) {
        (_, true) => names(&present),
        (true, false) => format!("none of {}", names(&absent)),
        (false, false) => format!("{}; not {}", names(&present), names(&absent)),
    };
    let gpu = match r.gpus.is_empty() {
        true => "none found".into(),
        false => format!("{}; this version trains on the processor", r.gpus.join(", ")),
    };
    [
        ("athanor", r.version.to_owned()),
        ("system", format!("{}, {}", visible(&r.os), r.arch)),
        ("processor", visible(&r.processor)),
        ("features", features),
        ("threads", r.threads.to_string()),
        ("memory", format!("{} free of {}", bytes(r.memory_free), bytes(r.memory_total))),
        ("disk", format!("{} free here", bytes(r.disk_free))),
        ("GPU", gpu),
    ]
    .iter()
    .map(|(name, value)| format!("{name:<11}{value}\n"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::gpus;

    #[test]
    fn gpus_are_read_from_the_drivers_files() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("0000:01:00.0")).expect("a folder");
        std::fs::write(dir.path().join("0000:01:00.0/information"), "Model: \t\t Example 9000\nIRQ: 1\n")
            .expect("a file");
        std::fs::create_dir(dir.path().join("0000:02:00.0")).expect("a folder");
        assert_eq!(gpus(dir.path()), ["Example 9000", "NVIDIA GPU"]);
        assert!(gpus(&dir.path().join("absent")).is_empty());
    }
}
