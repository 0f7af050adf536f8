//! What distinguishes things with the same name.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// For each of several things: the suffix that distinguishes its name from equal names. That is the first of
/// its `features` that no other thing of that name has, else the first that not all have. None if the name is
/// enough, or nothing helps. Features are only requested for equal names.
pub(crate) fn apart<N: Eq + Hash>(
    names: &[N],
    features: impl Fn(usize) -> Vec<String>,
) -> Vec<Option<String>> {
    let mut called: FxHashMap<&N, Vec<usize>> = FxHashMap::default();
    for (nth, name) in names.iter().enumerate() {
        called.entry(name).or_default().push(nth);
    }
    let mut told = vec![None; names.len()];
    for same in called.into_values().filter(|same| same.len() > 1) {
        let theirs: Vec<Vec<String>> = same.iter().map(|&nth| features(nth)).collect();
        let mut have: FxHashMap<&str, usize> = FxHashMap::default();
        for features in &theirs {
            let mut once: Vec<&str> = features.iter().map(String::as_str).collect();
            once.sort_unstable();
            once.dedup();
            once.into_iter().for_each(|feature| *have.entry(feature).or_default() += 1);
        }
        for (&nth, features) in same.iter().zip(&theirs) {
            let fewer = |than: usize| {
                let with = |feature: &&String| have.get(feature.as_str()).is_some_and(|&n| n < than);
                features.iter().find(with).cloned()
            };
            if let Some(slot) = told.get_mut(nth) {
                *slot = fewer(2).or_else(|| fewer(same.len()));
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_tells() {
        let features =
            [vec![], vec!["run", "a", "x"], vec!["run", "b", "x"], vec!["run"], vec!["run", "b", "y"]];
        let told = apart(&["other", "same", "same", "same", "same"], |nth| {
            features[nth].iter().map(|text| (*text).to_owned()).collect()
        });
        let told: Vec<_> = told.iter().map(Option::as_deref).collect();
        // The last but one has no feature that the others lack.
        assert_eq!(told, [None, Some("a"), Some("b"), None, Some("y")]);
        assert_eq!(apart(&["a", "b"], |_| unreachable!("names differ")), [None, None]);
    }
}
