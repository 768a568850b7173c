//! What can stand in a hole of a template.

/// A typed part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Kind {
    /// Decimal digits without a leading zero.
    Integer = 1,
    /// Seconds since 1970, near the start of the exchange.
    Seconds = 2,
    /// Milliseconds since 1970, near the start of the exchange.
    Millis = 3,
    /// Microseconds since 1970, near the start of the exchange.
    Micros = 4,
    /// `2026-01-31T23:59:59`
    DateSeconds = 5,
    /// The same with three digits of a fraction.
    DateMillis = 6,
    /// The same with six.
    DateMicros = 7,
    /// Hexadecimal digits in lower case.
    Hex = 8,
    /// Hexadecimal digits in upper case.
    HexUpper = 9,
    /// A UUID in lower case.
    Uuid = 10,
    /// A UUID in upper case.
    UuidUpper = 11,
    /// Letters and digits.
    Word = 12,
    /// Letters, digits, `-` and `_`, as base64 for URLs has them.
    Token = 13,
    /// What redaction puts in the place of a secret.
    Pseudonym = 14,
    /// JSON in base64 for URLs, without padding.
    Embedded = 15,
}

impl Kind {
    const ALL: [Kind; 15] = [
        Kind::Integer,
        Kind::Seconds,
        Kind::Millis,
        Kind::Micros,
        Kind::DateSeconds,
        Kind::DateMillis,
        Kind::DateMicros,
        Kind::Hex,
        Kind::HexUpper,
        Kind::Uuid,
        Kind::UuidUpper,
        Kind::Word,
        Kind::Token,
        Kind::Pseudonym,
        Kind::Embedded,
    ];

    pub(super) fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// For times: how many microseconds their unit has.
    pub(super) const fn unit_us(self) -> Option<u64> {
        match self {
            Kind::Seconds | Kind::DateSeconds => Some(1_000_000),
            Kind::Millis | Kind::DateMillis => Some(1_000),
            Kind::Micros | Kind::DateMicros => Some(1),
            _ => None,
        }
    }

    /// Whether it is a date in words of ISO 8601.
    pub(super) const fn is_date(self) -> bool {
        matches!(self, Kind::DateSeconds | Kind::DateMillis | Kind::DateMicros)
    }

    /// Whether it names something: equal ones are references to each other.
    pub(super) const fn is_id(self) -> bool {
        matches!(
            self,
            Kind::Hex
                | Kind::HexUpper
                | Kind::Uuid
                | Kind::UuidUpper
                | Kind::Word
                | Kind::Token
                | Kind::Pseudonym
        )
    }
}
