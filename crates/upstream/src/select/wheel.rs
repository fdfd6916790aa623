/// Every server as often as its weight says, evenly spread: one turn of the wheel is one cycle of round robin.
///
/// The order is that of the odd fractions (2k+1)/2w for the k-th place of a server of weight w (Sainte-Laguë's method),
/// so a heavy server never gets a burst: 5:1:1 goes `aaXXaaa` with the light ones in the middle, not `aaaaabc`.
#[derive(Debug, Default)]
pub(crate) struct Wheel {
    seats: Vec<u16>,
}

impl Wheel {
    pub(crate) fn new(weights: &[u32]) -> Self {
        let common = weights.iter().copied().fold(0, gcd).max(1);
        let mut places: Vec<(u64, u16)> = weights
            .iter()
            .zip(0u16..)
            .flat_map(|(weight, index)| {
                let weight = u64::from(weight / common);
                // 2^40 tells any two different fractions of weights up to 256 apart.
                (0..weight).map(move |k| (((2 * k + 1) << 40) / (2 * weight), index))
            })
            .collect();
        places.sort_unstable();
        Self { seats: places.into_iter().map(|(_, index)| index).collect() }
    }

    /// Places on the wheel.
    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Who sits at `place`, counted on and on around the wheel; `None` when nobody sits anywhere.
    pub(crate) fn at(&self, place: usize) -> Option<usize> {
        let seat = place.checked_rem(self.seats.len())?;
        self.seats.get(seat).map(|&index| usize::from(index))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::Wheel;
    use proptest::prelude::*;

    fn turn(weights: &[u32]) -> Vec<usize> {
        let wheel = Wheel::new(weights);
        (0..wheel.len()).filter_map(|i| wheel.at(i)).collect()
    }

    #[test]
    fn spreads_the_heavy_ones() {
        assert_eq!(turn(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(turn(&[3, 3]), [0, 1], "a common factor only makes the wheel longer");
        assert_eq!(turn(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(turn(&[5, 1, 1]), [0, 0, 0, 1, 2, 0, 0]);
        assert!(Wheel::new(&[]).at(7).is_none());
    }

    proptest! {
        #[test]
        fn every_cycle_is_exact_and_every_prefix_fair(weights in prop::collection::vec(1u32..=32, 1..12)) {
            let seats = turn(&weights);
            let total: u32 = weights.iter().sum();
            let factor = total as usize / seats.len();
            for (index, weight) in weights.iter().enumerate() {
                let mut had = 0.0_f64;
                for (i, _) in seats.iter().enumerate().filter(|(_, seat)| **seat == index) {
                    let due = (i as f64 + 1.0) * f64::from(*weight) / f64::from(total);
                    had += 1.0;
                    prop_assert!(had - due < 1.5, "{index} is ahead at {i}: {had} of {due}");
                }
                prop_assert_eq!(had as usize * factor, *weight as usize);
            }
        }
    }
}
