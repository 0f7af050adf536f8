//! Names of functions as in the source, from the names that compilers put into symbols.

use std::fmt;

/// Longer symbols are shown as they are.
const MAX_SYMBOL: usize = 4 << 10;
/// A longer name is not made of a symbol: a short symbol may stand for a name of any length.
const MAX_NAME: usize = 16 << 10;
/// How deep the parts of a C++ name may be nested.
const MAX_DEPTH: u32 = 96;

/// A name as in the source, if a compiler for Rust or C++ made it; else the name itself. The parameters of a C++
/// function are left out.
pub(crate) fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return bounded(|out| fmt::write(out, format_args!("{rust:#}"))).unwrap_or_else(|| name.to_owned());
    }
    let cpp = Some(name).filter(|name| name.starts_with("_Z") && name.len() <= MAX_SYMBOL).and_then(cpp);
    cpp.unwrap_or_else(|| name.to_owned())
}

/// The name of a C++ function. Suffixes of the compiler (`.cold`, `.isra.0`) stay.
fn cpp(symbol: &str) -> Option<String> {
    let (plain, suffix) = symbol.split_at(symbol.find('.').unwrap_or(symbol.len()));
    let limits = cpp_demangle::ParseOptions::default().recursion_limit(MAX_DEPTH);
    let parsed = cpp_demangle::Symbol::new_with_options(plain, &limits).ok()?;
    let wanted = cpp_demangle::DemangleOptions::new().no_params().no_return_type().recursion_limit(MAX_DEPTH);
    let name = bounded(|out| parsed.structured_demangle(out, &wanted))?;
    (!name.is_empty()).then(|| name + suffix)
}

/// What is written, if it is no longer than [`MAX_NAME`].
fn bounded(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> Option<String> {
    let mut out = Bounded(String::new());
    write(&mut out).ok().map(|()| out.0)
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_NAME {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        for (symbol, name) in [
            ("pause", "pause"),
            ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
            ("_RNvCs15kBYyAo9fc_7mycrate7example", "mycrate::example"),
            ("_ZN2ns5Shape4areaEi", "ns::Shape::area"),
            ("_ZN2ns5Shape4areaEi.cold", "ns::Shape::area.cold"),
            ("_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back"),
            ("_Znot a symbol", "_Znot a symbol"),
            ("_Z", "_Z"),
        ] {
            assert_eq!(demangled(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn a_short_symbol_for_a_long_name_stays_as_it_is() {
        // Each part is a pair of the part before.
        let mut symbol = "_Z1fI1aS_".to_owned();
        for part in 0..40 {
            let before = if part == 0 { "S_".to_owned() } else { format!("S{}_", radix_36(part - 1)) };
            symbol += &format!("1pI{before}{before}E");
        }
        symbol += "Evv";
        let name = demangled(&symbol);
        assert!(name.len() <= MAX_NAME, "{} bytes", name.len());
    }

    fn radix_36(number: u32) -> String {
        let digit = |n| char::from_digit(n, 36).unwrap().to_ascii_uppercase();
        if number < 36 {
            digit(number).to_string()
        } else {
            [digit(number / 36), digit(number % 36)].iter().collect()
        }
    }

    proptest! {
        #[test]
        fn no_symbol_is_too_much(tail in "[A-Z0-9a-z_.]{0,200}") {
            for start in ["_Z", "_ZN", "_R", "_RNv", ""] {
                let name = demangled(&format!("{start}{tail}"));
                prop_assert!(name.len() <= MAX_NAME + MAX_SYMBOL);
            }
        }
    }
}
