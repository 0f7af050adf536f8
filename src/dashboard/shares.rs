//! How tasks spent their time and how much CPU they used, in words.

use super::tables::CpuTable;
use crate::report::escape;
use crate::report::line::width;
use crate::report::units::{count, duration, percent};
use crate::session::record::CpuNs;
use crate::session::{Shares, StateTimes};

/// "IO wait 61 %  select 20 %  running 3 %  other 1 %   1 min, 236 readings", in at most `room` columns.
pub(super) fn times(shares: &Shares, room: usize) -> String {
    if shares.readings < StateTimes::ENOUGH {
        return format!("too few readings yet ({})", shares.readings);
    }
    let rests_on = format!("   {}, {}", duration(shares.span_ns), count(shares.readings.into(), "reading"));
    let part = |name: &str, share: f64| {
        format!("{} {}", escape(name), percent((share * 1e6).round() as u64, 1_000_000))
    };
    let mut text = String::new();
    let mut other = shares.other;
    let longest_other = width(&part("  other", 0.99));
    for (nth, (name, share)) in shares.parts.iter().enumerate() {
        let next = format!("{}{}", if nth == 0 { "" } else { "  " }, part(name, *share));
        let is_last = nth + 1 == shares.parts.len() && shares.other == 0.0;
        let reserve = if is_last && other == 0.0 { 0 } else { longest_other };
        if width(&text) + width(&next) + reserve + width(&rests_on) <= room {
            text.push_str(&next);
        } else {
            // Everything that is smaller, too: the list stays in its order.
            other += shares.parts.iter().skip(nth).map(|(_, share)| share).sum::<f64>();
            break;
        }
    }
    if other > 0.0 {
        let gap = if text.is_empty() { "" } else { "  " };
        text.push_str(&format!("{gap}{}", part("other", other)));
    }
    text + &rests_on
}

/// "41 % of a CPU over 10 s, 38 % over 2 min".
pub(super) fn used(table: &CpuTable, ns: Option<CpuNs>) -> String {
    let Some(ns) = ns else { return "not known of tasks without an id".to_owned() };
    let covers = table.times.covers;
    let mut text = format!("{} of a CPU over {}", table.share(ns), duration(covers.window));
    if covers.total > covers.window + covers.window / 10 {
        text.push_str(&format!(", {} over {}", table.total_share(ns), duration(covers.total)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(parts: &[(&str, f64)], other: f64) -> Shares {
        Shares {
            parts: parts.iter().map(|&(name, share)| (name.into(), share)).collect(),
            other,
            readings: 236,
            span_ns: 61_000_000_000,
        }
    }

    #[test]
    fn what_does_not_fit_is_added_up() {
        let shares = shares(&[("sync.Mutex.Lock", 0.5), ("IO wait", 0.3), ("running", 0.16)], 0.04);
        let whole = "sync.Mutex.Lock 50 %  IO wait 30 %  running 16 %  other 4 %   1 min, 236 readings";
        let short = "sync.Mutex.Lock 50 %  other 50 %   1 min, 236 readings";
        for room in 0..200 {
            let text = times(&shares, room);
            assert!(width(&text) <= room.max(width("other 100 %   1 min, 236 readings")), "{room}: {text}");
        }
        assert_eq!(times(&shares, 100), whole);
        assert_eq!(times(&shares, 60), short);
        let few = Shares { readings: 4, ..shares };
        assert_eq!(times(&few, 60), "too few readings yet (4)");
    }

    #[test]
    fn names_of_states_are_escaped() {
        let text = times(&shares(&[("\u{1b}[31mIO", 1.0)], 0.0), 80);
        assert_eq!(text, "\\x1b[31mIO 100 %   1 min, 236 readings");
    }
}
