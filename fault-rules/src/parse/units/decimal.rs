//! Decimal numbers, exactly.

/// A decimal number without a sign, exactly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    pub(super) digits: u128,
    /// Of `digits`, how many stand behind the point.
    pub(super) scale: u32,
}

impl Decimal {
    /// At most 15 digits before the point and 9 behind.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let well_formed = !whole.is_empty() && (!text.contains('.') || !fraction.is_empty());
        if !well_formed || 15 < whole.len() || 9 < fraction.len() {
            return None;
        }
        let mut digits = 0_u128;
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits = digits * 10 + u128::from(char::from(byte).to_digit(10)?);
        }
        Some(Self { digits, scale: fraction.len() as u32 })
    }

    /// The product, rounded down. At most 24 digits times a factor below 1e15: far from 2^128.
    pub(super) fn times(self, factor: u128) -> u128 {
        self.digits.saturating_mul(factor) / 10_u128.pow(self.scale)
    }

    pub(super) fn is_whole_times(self, factor: u128) -> bool {
        self.digits.saturating_mul(factor).is_multiple_of(10_u128.pow(self.scale))
    }

    /// A fraction of 1 as a percentage, in digits.
    pub(super) fn as_percent(self) -> String {
        let hundred_fold = self.digits * 100;
        let one = 10_u128.pow(self.scale);
        let (whole, rest) = (hundred_fold / one, hundred_fold % one);
        if rest == 0 {
            return whole.to_string();
        }
        let digits = format!("{rest:0>width$}", width = self.scale as usize);
        format!("{whole}.{}", digits.trim_end_matches('0'))
    }
}
