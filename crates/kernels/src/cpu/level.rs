//! What the processor can do, found at run time, and code compiled once for each answer.

/// A set of vector instructions. A value of it is proof that this processor has them: the only way to
/// get one is [`Level::all`] or [`Level::best`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Isa);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    /// AVX-512 with products of bf16, and tiles of them.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// With products of bf16.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Level {
    /// Every level of this processor, the fastest first. The last is plain Rust.
    pub fn all() -> Vec<Level> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            let bf16 = avx2 && avx512 && is_x86_feature_detected!("avx512bf16");
            if bf16 && super::gemm::has_tiles() {
                all.push(Level(Isa::Amx));
            }
            if bf16 {
                all.push(Level(Isa::Avx512Bf16));
            }
            if avx2 && avx512 {
                all.push(Level(Isa::Avx512));
            }
            // Measured: of a core with tiles, 80 GFLOP/s in vectors of bf16 and 171 of f32.
            if bf16 && is_intel() {
                let last = all.len() - 1;
                all.swap(last - 1, last);
            }
            if avx2 {
                all.push(Level(Isa::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            all.push(Level(Isa::Neon));
        }
        all.push(Level(Isa::Portable));
        all
    }

    pub fn best() -> Level {
        Level::all()[0]
    }

    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => "amx_bf16",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => "avx512_bf16",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// Whether the processor multiplies bf16 itself; elsewhere it widens them.
    pub fn multiplies_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self.0, Isa::Amx | Isa::Avx512Bf16);
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    pub(super) fn isa(self) -> Isa {
        self.0
    }
}

/// Whether the processor is one of Intel's.
#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
}

/// a · b + c, rounded once where the processor can and twice where it would need a library call.
pub(super) trait Fma: Copy {
    fn fma(a: f32, b: f32, c: f32) -> f32;
}

#[derive(Clone, Copy)]
pub(super) struct Fused;
#[derive(Clone, Copy)]
pub(super) struct Split;

impl Fma for Fused {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}
impl Fma for Split {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Declares `fn name(level, args)` that runs the `#[inline(always)]` function `body::<impl Fma>(args)`
/// compiled for the level: plain loops over slices become vector code of its width.
macro_rules! per_level {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$meta])*
        #[allow(unsafe_code)]
        $vis fn $name(level: $crate::cpu::level::Level, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $body::<$crate::cpu::level::Fused>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $body::<$crate::cpu::level::Fused>($($arg),*)
            }
            match level.isa() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: a Level is proof that the processor has its instructions.
                $crate::cpu::level::Isa::Amx
                | $crate::cpu::level::Isa::Avx512Bf16
                | $crate::cpu::level::Isa::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::cpu::level::Isa::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "aarch64")]
                $crate::cpu::level::Isa::Neon => $body::<$crate::cpu::level::Fused>($($arg),*),
                $crate::cpu::level::Isa::Portable => $body::<$crate::cpu::level::Split>($($arg),*),
            }
        }
    };
}
pub(super) use per_level;
