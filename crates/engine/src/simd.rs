//! The SIMD level: chosen once, passed as a value, and one body of code for all levels.
//!
//! Kernels are generic over [`Lanes`] and work in integers, or with operations on floating-point numbers that
//! are rounded exactly, so every level gives the same bytes. The crate fearless_simd gives safe access to the
//! instructions; there is no `unsafe` here. AVX-512 is not used; its gain was not measured.

#[cfg(target_arch = "x86_64")]
use fearless_simd::Avx2;
use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, i16x16};

/// The instructions that kernels may use. Every level renders the same thumbnails, byte for byte.
#[derive(Debug, Clone, Copy)]
pub struct SimdLevel(Kind);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Baseline(Baseline),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// The instructions that every machine of this architecture has.
#[cfg(target_arch = "x86_64")]
type Baseline = fearless_simd::Sse2;
#[cfg(target_arch = "aarch64")]
type Baseline = fearless_simd::Neon;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Baseline = fearless_simd::Fallback;

impl Default for SimdLevel {
    fn default() -> Self {
        Self::detect()
    }
}

impl SimdLevel {
    /// The best level of this machine; detected once per process.
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = Level::new().as_avx2() {
            return Self(Kind::Avx2(token));
        }
        Self::baseline()
    }

    /// The level as a value of fearless_simd, for its dispatch.
    pub(crate) const fn dispatch_level(self) -> Level {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Baseline(token) => Level::Sse2(token),
            #[cfg(target_arch = "aarch64")]
            Kind::Baseline(token) => Level::Neon(token),
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            Kind::Baseline(token) => Level::Fallback(token),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(token) => Level::Avx2(token),
        }
    }

    /// The level that every machine of this architecture supports.
    #[must_use]
    pub fn baseline() -> Self {
        Self(Kind::Baseline(baseline()))
    }
}

#[cfg(target_arch = "x86_64")]
fn baseline() -> Baseline {
    // SSE2 belongs to the architecture, so the first arm is the only one that is ever taken.
    match Level::new().as_sse2() {
        Some(token) => token,
        None => unreachable!("x86-64 without SSE2"),
    }
}

#[cfg(target_arch = "aarch64")]
fn baseline() -> Baseline {
    match Level::new().as_neon() {
        Some(token) => token,
        None => unreachable!("aarch64 without NEON"),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn baseline() -> Baseline {
    Baseline::new()
}

/// A kernel with its arguments, run by [`SimdLevel::run`] with the level's instructions.
///
/// `run` must be `#[inline(always)]`, as must be what it calls: only then is it compiled for the level.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Lanes>(self, simd: S) -> Self::Output;
}

impl SimdLevel {
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Kind::Baseline(token) => token.vectorize(
                #[inline(always)]
                || kernel.run(token),
            ),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(token) => token.vectorize(
                #[inline(always)]
                || kernel.run(token),
            ),
        }
    }
}

/// A level's instructions, with those that the portable set lacks.
pub(crate) trait Lanes: Simd {
    /// (a × b + 2¹⁴) / 2¹⁵: the product of fixed-point numbers, rounded. Not both may be −2¹⁵.
    #[inline(always)]
    fn mul_round(self, a: i16x16<Self>, b: i16x16<Self>) -> i16x16<Self> {
        let (low, high) = self.widening_mul_i16x16(a, b);
        self.narrow_i32x8((low + (1 << 14)) >> 15, (high + (1 << 14)) >> 15)
    }

    /// a × b / 2¹⁶, rounded down.
    #[inline(always)]
    fn mul_high(self, a: i16x16<Self>, b: i16x16<Self>) -> i16x16<Self> {
        let (low, high) = self.widening_mul_i16x16(a, b);
        self.narrow_i32x8(low >> 16, high >> 16)
    }

    /// Sixteen samples from the front of a slice.
    #[inline(always)]
    fn load(self, samples: &[i16]) -> i16x16<Self> {
        i16x16::from_slice(self, &samples[..16])
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for fearless_simd::Sse2 {}
#[cfg(target_arch = "aarch64")]
impl Lanes for fearless_simd::Neon {}
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Lanes for fearless_simd::Fallback {}

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx2 {
    #[inline(always)]
    fn mul_round(self, a: i16x16<Self>, b: i16x16<Self>) -> i16x16<Self> {
        fearless_simd::kernel!(
            #[inline(always)]
            fn kernel(token: Avx2, a: i16x16<Avx2>, b: i16x16<Avx2>) -> i16x16<Avx2> {
                std::arch::x86_64::_mm256_mulhrs_epi16(a.into(), b.into()).simd_into(token)
            }
        );
        kernel(self, a, b)
    }

    #[inline(always)]
    fn mul_high(self, a: i16x16<Self>, b: i16x16<Self>) -> i16x16<Self> {
        fearless_simd::kernel!(
            #[inline(always)]
            fn kernel(token: Avx2, a: i16x16<Avx2>, b: i16x16<Avx2>) -> i16x16<Avx2> {
                std::arch::x86_64::_mm256_mulhi_epi16(a.into(), b.into()).simd_into(token)
            }
        );
        kernel(self, a, b)
    }
}

/// `std::array::from_fn`, always inlined into the calling kernel: the compiler turns some calls of that one
/// into functions, which are not compiled for the level.
#[inline(always)]
pub(crate) fn array_from_fn<T: Copy, const N: usize>(element: impl Fn(usize) -> T) -> [T; N] {
    let mut all = [element(0); N];
    for (index, value) in all.iter_mut().enumerate().skip(1) {
        *value = element(index);
    }
    all
}

/// Samples in a vector; row buffers are padded to whole ones.
pub(crate) const WIDTH: usize = 16;

/// `length` rounded up to whole vectors.
pub(crate) const fn padded(length: usize) -> usize {
    length.next_multiple_of(WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Products<'a>(&'a [i16], i16, &'a mut Vec<i16>);

    impl Kernel for Products<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Lanes>(self, simd: S) {
            for chunk in self.0.chunks_exact(WIDTH) {
                let product = simd.mul_round(simd.load(chunk), i16x16::splat(simd, self.1));
                self.2.extend_from_slice(product.as_slice());
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_products() {
        let values: Vec<i16> = (i16::MIN + 1..=i16::MAX).step_by(7).collect();
        for by in [-32767, -3, 0, 1, 16384, 32640] {
            let expected: Vec<i16> = values
                .chunks_exact(WIDTH)
                .flatten()
                .map(|&v| ((i32::from(v) * i32::from(by) + (1 << 14)) >> 15) as i16)
                .collect();
            for level in [SimdLevel::baseline(), SimdLevel::detect()] {
                let mut products = Vec::new();
                level.run(Products(&values, by, &mut products));
                assert_eq!(products, expected, "{level:?} by {by}");
            }
        }
    }
}
