//! Tasks that are not a finding, in words: what they are, and why.

use super::{flow, span};
use crate::analysis::leaks::Rest;
use crate::analysis::leaks::evidence::{Doubt, Outlook, RestName, Steady, Why};
use crate::report::units::{duration, thousands};

/// What tasks are, for one or for several of them: "pool workers". `noun`: what the program's tasks are called.
pub fn rest_name(rest: &Rest, noun: &str, one: bool) -> String {
    let s = if one { "" } else { "s" };
    match &rest.name {
        RestName::Known([single, several]) => with_noun(if one { single } else { several }, noun),
        RestName::OfInit if one => format!("{noun} of a package's init"),
        RestName::OfInit => format!("{noun}s of package inits"),
        RestName::UnknownState => format!("{noun}{s} of unknown state"),
        RestName::Running => format!("running {noun}{s}"),
        RestName::Timer => format!("timer{s}"),
        RestName::PoolWorker => format!("pool worker{s}"),
        RestName::Place { noun, doing, function } if function.is_empty() => format!("{noun}{s} in {doing}"),
        RestName::Place { noun, doing, function } => format!("{noun}{s} in {doing} ({function})"),
        RestName::Other => format!("other{s}"),
    }
}

/// "tasks of http clients" for goroutines: "goroutines of http clients".
pub(super) fn with_noun(name: &str, noun: &str) -> String {
    match name.strip_prefix("task").filter(|rest| rest.starts_with(' ') || rest.starts_with("s ")) {
        Some(rest) => format!("{noun}{rest}"),
        None => name.to_owned(),
    }
}

/// Why tasks are not a finding, as a clause.
pub fn why(why: &Why, noun: &str) -> String {
    match why {
        Why::Undecided(doubt) => self::doubt(doubt, noun),
        Why::UsuallyParked(text) => (*text).to_owned(),
        Why::StartedOnce(None) => "started once, when the program started".to_owned(),
        Why::StartedOnce(Some(steady)) => {
            format!("started once, when the program started; {}", self::steady(*steady))
        }
        Why::Runnable => "running or ready to run".to_owned(),
        Why::Timers(steady) => format!("sleeping or waiting for a timer; {}", self::steady(*steady)),
        Why::Pool(steady) => format!("waiting for work on one channel; {}", self::steady(*steady)),
        Why::Number(steady) => self::steady(*steady),
        Why::NoOtherSign(steady) => format!("{}, no other sign of a leak", self::steady(*steady)),
    }
}

fn steady(steady: Steady) -> String {
    match steady {
        Steady::NotGrowing { watched_ns: Some(ns) } => format!("not growing while watched ({})", span(ns)),
        Steady::NotGrowing { watched_ns: None } => "not growing while watched".to_owned(),
        Steady::Balanced => "they come and go, with no more growth than chance explains".to_owned(),
        Steady::EarlyOnesEnded => "more than at first, but the early ones have ended".to_owned(),
        Steady::StoppedGrowing => "they grew, and then stopped growing".to_owned(),
    }
}

fn doubt(doubt: &Doubt, noun: &str) -> String {
    match doubt {
        Doubt::NotCountedApart => format!(
            "other {noun}s at the same place are blocked forever, so the readings do not count these separately"
        ),
        Doubt::OneReading => "one reading shows neither growth nor what stays".to_owned(),
        Doubt::FewReadings => "fewer than four readings do not show whether they grow".to_owned(),
        Doubt::TimesUnknown => "the readings do not say when they were taken".to_owned(),
        Doubt::CameAtOnce { tasks } => {
            format!("{} came at once, and the readings do not show whether more follow", thousands(*tasks))
        }
        Doubt::PerhapsChance { flow, watched_ns } => {
            format!("{} in {}, which may be chance: watch longer", self::flow(*flow), span(*watched_ns))
        }
        Doubt::NoneWoke { process_age_ns } => format!(
            "each is sleeping or waiting for a timer, none has woken up yet, and the process is only {} old: watch until \
             they do",
            duration(*process_age_ns)
        ),
        Doubt::Outlived(outlived, outlook) => {
            let outlook = match outlook {
                Outlook::TooFewEnded => "too few have ended to say whether the old ones differ",
                Outlook::UpToPeer => "how long each of them lives is up to its peer",
                Outlook::OldOnesEnd => "old ones end, too, though more rarely than new ones",
            };
            format!("{}; {outlook}", super::outlived(*outlived, false))
        }
    }
}
