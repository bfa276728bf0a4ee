//! `auto.offset.reset`: where reading begins without a position, and how that is written.

use std::fmt;
use std::time::Duration;

use crate::config::Value;

/// Where reading begins when the group has committed no offset, or the offset is outside the log.
///
/// As text it is `earliest`, `latest`, `none`, or `by_duration:` and a duration as ISO 8601 has it: `P1DT2H30M4.5S` is a
/// day, two hours and so on; each part may be left out, and only seconds have a fraction.
///
/// ```
/// # use ottla::{AutoOffsetReset, ConsumerConfig};
/// # use std::time::Duration;
/// let config = ConsumerConfig::builder().set("auto.offset.reset", "by_duration:PT1H30M")?.build()?;
/// assert_eq!(config.auto_offset_reset(), AutoOffsetReset::ByDuration(Duration::from_secs(90 * 60)));
/// assert_eq!(config.auto_offset_reset().to_string(), "by_duration:PT1H30M");
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AutoOffsetReset {
    /// At the first record that is there; the default, other than in Kafka.
    #[default]
    Earliest,
    /// Behind the last record: only what is written from now on is read.
    Latest,
    /// Nowhere: `poll` fails with [`NoOffsetForPartition`](crate::Error::NoOffsetForPartition) or
    /// [`OffsetOutOfRange`](crate::Error::OffsetOutOfRange) until `seek` says where.
    None,
    /// At the first record that is no older than this, by its timestamp; behind the last one if all are older.
    ByDuration(Duration),
}

impl fmt::Display for AutoOffsetReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::None => f.write_str("none"),
            Self::ByDuration(duration) => write_duration(*duration, f),
        }
    }
}

impl Value for AutoOffsetReset {
    const KIND: &'static str = "earliest, latest, none or by_duration:PnDTnHnMnS";

    fn parse(text: &str) -> Result<Self, String> {
        let duration = || parse_duration(text.strip_prefix(BY_DURATION)?);
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            "none" => Ok(Self::None),
            _ => duration().map(Self::ByDuration).ok_or_else(|| format!("expected {}", Self::KIND)),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

const BY_DURATION: &str = "by_duration:";

/// The units of a duration with their seconds, those of the date before those of the time.
const UNITS: [(char, u64); 4] = [('D', 24 * 60 * 60), ('H', 60 * 60), ('M', 60), ('S', 1)];

/// `P1DT2H3M4.5S`: the parts in this order, any of them left out, but not all; a `T` in front of those of the time.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('P')?;
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    if (date.is_empty() && time.is_none()) || time == Some("") {
        return None;
    }
    parse_parts(date, &UNITS[..1])?.checked_add(parse_parts(time.unwrap_or_default(), &UNITS[1..])?)
}

fn parse_parts(mut text: &str, mut units: &[(char, u64)]) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    while !text.is_empty() {
        let at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (number, behind) = text.split_at(at);
        let index = units.iter().position(|(unit, _)| behind.starts_with(*unit))?;
        let (unit, seconds) = units[index];
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) if unit == 'S' => (whole, parse_nanos(fraction)?),
            Some(_) => return None,
            None => (number, 0),
        };
        let whole = parse_digits(whole)?.checked_mul(seconds)?;
        sum = sum.checked_add(Duration::new(whole, fraction))?;
        (text, units) = (&behind[1..], &units[index + 1..]);
    }
    Some(sum)
}

/// Up to nine digits behind the point.
fn parse_nanos(fraction: &str) -> Option<u32> {
    let missing = 9_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    u32::try_from(parse_digits(fraction)?).ok()?.checked_mul(10_u32.checked_pow(missing)?)
}

/// Digits and nothing else: the standard library would take a sign.
fn parse_digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn write_duration(duration: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = duration.as_secs();
    let [days, hours, minutes, seconds] = UNITS.map(|(_, unit)| {
        let count = rest / unit;
        rest %= unit;
        count
    });
    let nanos = duration.subsec_nanos();
    write!(f, "{BY_DURATION}P")?;
    if days > 0 {
        write!(f, "{days}D")?;
        if (hours, minutes, seconds, nanos) == (0, 0, 0, 0) {
            return Ok(());
        }
    }
    f.write_str("T")?;
    if hours > 0 {
        write!(f, "{hours}H")?;
    }
    if minutes > 0 {
        write!(f, "{minutes}M")?;
    }
    match (seconds, nanos) {
        (0, 0) if hours > 0 || minutes > 0 => Ok(()),
        (_, 0) => write!(f, "{seconds}S"),
        _ => write!(f, "{seconds}.{}S", format!("{nanos:09}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_iso_8601_has_them() {
        let read = |text: &str| parse_duration(text);
        assert_eq!(read("PT1H30M"), Some(Duration::from_secs(5400)));
        assert_eq!(read("P2DT3S"), Some(Duration::from_secs(2 * 86_400 + 3)));
        assert_eq!(read("P1D"), Some(Duration::from_secs(86_400)));
        assert_eq!(read("PT0.25S"), Some(Duration::from_millis(250)));
        assert_eq!(read("PT0S"), Some(Duration::ZERO));
        for wrong in ["", "P", "PT", "P1DT", "1H", "PT1H1H", "PT1M1H", "P1H", "PT1D", "PT-1S", "PT+1S", "PT1.5H", "PT1"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(read("PT.5S"), None);
        assert_eq!(read("PT1.0000000001S"), None);
        assert_eq!(read("P99999999999999999999D"), None);
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for millis in [0, 250, 1000, 60_000, 3_600_000, 86_400_000, 90_061_500, 5_400_000] {
            let reset = AutoOffsetReset::ByDuration(Duration::from_millis(millis));
            assert_eq!(AutoOffsetReset::parse(&reset.show()), Ok(reset), "{reset}");
        }
        let shown = AutoOffsetReset::ByDuration(Duration::from_millis(90_061_500)).to_string();
        assert_eq!(shown, "by_duration:P1DT1H1M1.5S");
    }
}
