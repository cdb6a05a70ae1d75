//! What many figures come to.

/// The one in the middle; `None` of none.
pub(super) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// That quantile, between 0 and 1, of what is in ascending order; `None` of nothing.
pub(super) fn quantile<T: Copy>(ascending: &[T], quantile: f64) -> Option<T> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of figures")]
    let nth = (ascending.len().saturating_sub(1) as f64 * quantile) as usize;
    ascending.get(nth).copied()
}

/// The largest of the last third over the largest of the middle third: about 1 where figures are level, and more where
/// they grow. `None` while there are too few of them.
pub(super) fn growth_of_last_third(figures: &[f64]) -> Option<f64> {
    let third = figures.len() / 3;
    let largest = |figures: &[f64]| figures.iter().copied().reduce(f64::max);
    let middle = largest(figures.get(third..2 * third)?)?;
    largest(&figures[2 * third..]).map(|last| last / middle)
}

/// One over another, for people.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn ratio(of: u64, over: u64) -> f64 {
    of as f64 / over.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_quantiles_are_of_the_figures_themselves() {
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![])), (Some(2.0), None));
        let hundred: Vec<u32> = (1..=100).collect();
        let found = [0.0, 0.5, 0.99, 1.0].map(|of| quantile(&hundred, of));
        assert_eq!(found, [Some(1), Some(50), Some(99), Some(100)]);
        assert_eq!((quantile(&[7], 0.99), quantile::<u32>(&[], 0.5)), (Some(7), None));
    }

    #[test]
    fn what_grows_is_told_from_what_is_level() {
        let rises_and_stays: Vec<f64> = (1..=30).map(|nth| f64::from(nth.min(9))).collect();
        assert_eq!(growth_of_last_third(&rises_and_stays), Some(1.0));
        let saw: Vec<f64> = (0..30).map(|nth| f64::from(nth % 5 + 1)).collect();
        assert_eq!(growth_of_last_third(&saw), Some(1.0));
        let grows: Vec<f64> = (1..=30).map(f64::from).collect();
        assert_eq!(growth_of_last_third(&grows), Some(1.5));
        assert_eq!((growth_of_last_third(&[]), growth_of_last_third(&[1.0, 2.0])), (None, None));
    }
}
