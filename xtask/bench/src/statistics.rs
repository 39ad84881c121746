//! Statistics of repeated measurements.

/// The median and the range of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Returns `None` if there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let upper = values.get(middle)?;
        let median = match values.len() % 2 {
            0 => (values.get(middle - 1)? + upper) / 2.0,
            _ => *upper,
        };
        Some(Self { median, min, max })
    }

    /// The statistics of the ratios by round. A slow phase of the machine slows both values of a round.
    pub(crate) fn of_ratios(values: &[f64], floors: &[f64]) -> Option<Self> {
        Self::of(values.iter().zip(floors).map(|(value, floor)| value / floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
    }

    #[test]
    fn a_slow_round_does_not_show_in_ratios() {
        let ratios = Spread::of_ratios(&[80.0, 8.0, 160.0], &[100.0, 10.0, 200.0]);
        assert_eq!(ratios, Some(Spread { median: 0.8, min: 0.8, max: 0.8 }));
    }
}
