//! Numbers in narrow columns.

use crate::report::units::thousands;

/// ">= 41 min".
pub(super) use crate::report::units::short_age as age;

/// "+38", "-5", "0".
pub(super) fn signed(value: i64) -> String {
    let digits = thousands(value.unsigned_abs());
    match value {
        0 => digits,
        1.. => format!("+{digits}"),
        _ => format!("-{digits}"),
    }
}

/// A rate with its sign: "+38", "-0.4", "0".
pub(super) fn signed_rate(value: f64) -> String {
    let rounded = value.abs();
    let text = rate(rounded);
    if text == "0" || text == "0.0" {
        "0".to_owned()
    } else if value < 0.0 {
        format!("-{text}")
    } else {
        format!("+{text}")
    }
}

/// A rate with about two digits: "139", "0.4".
pub(super) fn rate(value: f64) -> String {
    if value >= 9.95 || value == 0.0 { thousands(value.round() as u64) } else { format!("{value:.1}") }
}
