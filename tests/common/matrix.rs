//! The matrix of Go versions and build flavours. Each version is a test of its own, so that the runner
//! spreads them over the cores and names the version that fails.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Hands every Go version, with a name for its test, to another macro of this file: the oldest, those in
/// between, the newest. This is the list of versions that are tested.
macro_rules! with_go_versions {
    ($then:ident { $($with:tt)* }) => {
        $crate::common::matrix::$then! {
            [go1_19 = "1.19"]
            [
                go1_21 = "1.21", go1_22 = "1.22", go1_23 = "1.23", go1_24 = "1.24", go1_25 = "1.25",
                go1_26 = "1.26"
            ]
            [go1_27 = "1.27"]
            { $($with)* }
        }
    };
}

/// One array of all of them, the oldest first.
macro_rules! version_names {
    ([$_a:ident = $oldest:literal] [$($_b:ident = $between:literal),*] [$_c:ident = $newest:literal] {}) => {
        [$oldest, $($between,)* $newest]
    };
}

/// Makes the tests of one check, in a module whose name says what holds.
///
/// - `matrix!(name, check, quick: [FLAVOUR, ...], full: [FLAVOUR, ...])`: `check(version, flavour)` for the
///   oldest and the newest Go with the quick flavours, and for every Go with the full ones. The full tests are
///   ignored unless `LOITER_MATRIX=full scripts/test` asks for them. Together they run each pair once: the
///   full tests leave out what the quick ones did.
/// - `matrix!(name, check, newest: [...], full: [...])`: the same, but the quick flavours for the newest only.
/// - `matrix!(name, check, quick: [...], spread: [...])`: the same as `full`, but the versions between the oldest and the
///   newest share the flavours, two at most for each in turn: see [`share`].
/// - `matrix!(name, check, quick: [...])`: the quick part only.
/// - `matrix!(name, check)`: `check(version)`, with the oldest and the newest as the quick part.
macro_rules! matrix {
    ($(#[$about:meta])* $name:ident, $check:path $(, $part:ident: [$($flavour:ident),* $(,)?])* $(,)?) => {
        $crate::common::matrix::with_go_versions!(make_tests {
            $(#[$about])* $name, $check $(, $part: [$($flavour),*])*
        });
    };
}

/// What [`matrix!`] becomes.
macro_rules! make_tests {
    (
        [$old:ident = $oldest:literal] [$($mid:ident = $between:literal),*] [$new:ident = $newest:literal]
        { $(#[$about:meta])* $name:ident, $check:path }
    ) => {
        $(#[$about])*
        mod $name {
            use super::*;

            #[test]
            fn $old() {
                $check($oldest);
            }

            $(
                #[test]
                #[ignore = "needs LOITER_MATRIX=full"]
                fn $mid() {
                    $check($between);
                }
            )*

            #[test]
            fn $new() {
                $check($newest);
            }
        }
    };
    (
        [$old:ident = $oldest:literal] $between:tt [$new:ident = $newest:literal]
        { $(#[$about:meta])* $name:ident, $check:path, quick: [$($quick:ident),*] }
    ) => {
        $(#[$about])*
        mod $name {
            use super::*;

            $crate::common::matrix::one_test!($old, $oldest, $check, [$($quick),*], but: []);
            $crate::common::matrix::one_test!($new, $newest, $check, [$($quick),*], but: []);
        }
    };
    (
        [$old:ident = $oldest:literal] [$($mid:ident = $between:literal),*] [$new:ident = $newest:literal]
        { $(#[$about:meta])* $name:ident, $check:path, quick: $quick:tt, full: $full:tt }
    ) => {
        $(#[$about])*
        mod $name {
            use super::*;

            $crate::common::matrix::one_test!($old, $oldest, $check, $quick, but: []);
            $crate::common::matrix::one_test!($new, $newest, $check, $quick, but: []);

            mod full {
                use super::*;

                $crate::common::matrix::one_test!(
                    #[ignore = "needs LOITER_MATRIX=full"] $old, $oldest, $check, $full, but: $quick
                );
                $(
                    $crate::common::matrix::one_test!(
                        #[ignore = "needs LOITER_MATRIX=full"] $mid, $between, $check, $full, but: []
                    );
                )*
                $crate::common::matrix::one_test!(
                    #[ignore = "needs LOITER_MATRIX=full"] $new, $newest, $check, $full, but: $quick
                );
            }
        }
    };
    (
        [$old:ident = $oldest:literal] [$($mid:ident = $between:literal),*] [$new:ident = $newest:literal]
        { $(#[$about:meta])* $name:ident, $check:path, quick: $quick:tt, spread: $spread:tt }
    ) => {
        $(#[$about])*
        mod $name {
            use super::*;

            $crate::common::matrix::one_test!($old, $oldest, $check, $quick, but: []);
            $crate::common::matrix::one_test!($new, $newest, $check, $quick, but: []);

            mod full {
                use super::*;

                $crate::common::matrix::one_test!(
                    #[ignore = "needs LOITER_MATRIX=full"] $old, $oldest, $check, $spread, but: $quick
                );
                $(
                    $crate::common::matrix::shared_test!($mid, $between, $check, $spread);
                )*
                $crate::common::matrix::one_test!(
                    #[ignore = "needs LOITER_MATRIX=full"] $new, $newest, $check, $spread, but: $quick
                );
            }
        }
    };
    (
        [$old:ident = $oldest:literal] [$($mid:ident = $between:literal),*] [$new:ident = $newest:literal]
        { $(#[$about:meta])* $name:ident, $check:path, newest: $quick:tt, full: $full:tt }
    ) => {
        $(#[$about])*
        mod $name {
            use super::*;

            $crate::common::matrix::one_test!($new, $newest, $check, $quick, but: []);

            mod full {
                use super::*;

                $crate::common::matrix::one_test!(
                    #[ignore = "needs LOITER_MATRIX=full"] $old, $oldest, $check, $full, but: []
                );
                $(
                    $crate::common::matrix::one_test!(
                        #[ignore = "needs LOITER_MATRIX=full"] $mid, $between, $check, $full, but: []
                    );
                )*
                $crate::common::matrix::one_test!(
                    #[ignore = "needs LOITER_MATRIX=full"] $new, $newest, $check, $full, but: $quick
                );
            }
        }
    };
}

/// One version with these flavours, but those that another test has.
macro_rules! one_test {
    (
        $(#[$ignore:meta])? $name:ident, $version:literal, $check:path, [$($flavour:ident),*],
        but: [$($done:ident),*]
    ) => {
        #[test]
        $(#[$ignore])?
        fn $name() {
            let flavours: &[$crate::common::Flavour] = &[$($crate::common::Flavour::$flavour),*];
            let done: &[$crate::common::Flavour] = &[$($crate::common::Flavour::$done),*];
            $crate::common::matrix::each(flavours, done, |flavour| $check($version, flavour));
        }
    };
}

/// A version with its share of these flavours.
macro_rules! shared_test {
    ($name:ident, $version:literal, $check:path, [$($flavour:ident),*]) => {
        #[test]
        #[ignore = "needs LOITER_MATRIX=full"]
        fn $name() {
            let flavours = [$($crate::common::Flavour::$flavour),*];
            let share = $crate::common::matrix::share($version, &flavours);
            $crate::common::matrix::each(&share, &[], |flavour| $check($version, flavour));
        }
    };
}

pub(crate) use {make_tests, matrix, one_test, shared_test, version_names, with_go_versions};

/// The share that a version has of flavours: two of them at most, so that each flavour is tested with some versions and
/// each version with some flavours. All of them if `LOITER_GO` is `all`.
pub fn share<T: Copy>(version: &str, flavours: &[T]) -> Vec<T> {
    if std::env::var("LOITER_GO").is_ok_and(|value| value == "all") {
        return flavours.to_vec();
    }
    let turn = super::GO_VERSIONS.iter().position(|other| *other == version).expect("a version of the list");
    let count = flavours.len().div_ceil(2).min(2);
    (0..count).map(|nth| flavours[(count * turn + nth) % flavours.len()]).collect()
}

/// Checks each flavour that is not done elsewhere. It goes on after a failure, so that one run shows all that
/// are wrong.
pub fn each<T: Copy + Debug + PartialEq>(flavours: &[T], done: &[T], check: impl Fn(T)) {
    let rest: Vec<T> = flavours.iter().copied().filter(|flavour| !done.contains(flavour)).collect();
    assert!(!rest.is_empty(), "nothing to check: {flavours:?} without {done:?}");
    let failed = |&flavour: &T| catch_unwind(AssertUnwindSafe(|| check(flavour))).is_err();
    let wrong: Vec<T> = rest.into_iter().filter(failed).collect();
    assert!(wrong.is_empty(), "failed (see above): {wrong:?}");
}
