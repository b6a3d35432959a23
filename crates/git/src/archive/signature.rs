//! Who signed a commit and when, as its `author` and `committer` lines say: `Ada <ada@example.org> 1700000000 +0100`.
//! Old histories hold many damaged ones, so the parts are found as git finds them (its ident.c and date.c).

use time::OffsetDateTime;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A signature's parts.
pub(crate) struct Signature<'a> {
    name: &'a [u8],
    mail: &'a [u8],
    date: Option<Date<'a>>,
}

/// When and where it was.
struct Date<'a> {
    /// Seconds since 1970 in UTC, as written.
    seconds: &'a str,
    /// Hours times a hundred, and minutes, east of UTC: `+0545` is 545.
    zone: i32,
}

/// A date, taken apart where it was signed.
struct Moment {
    at: OffsetDateTime,
    zone: i32,
}

impl<'a> Signature<'a> {
    /// Reads a line after its key; nothing if it has no address.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'<')?;
        let name = line[..open].trim_ascii_end();
        let after = &line[open + 1..];
        let mail = &after[..after.iter().position(|byte| *byte == b'>')?];
        let last = line.iter().rposition(|byte| *byte == b'>')?;
        Some(Self { name, mail, date: Date::parse(&line[last + 1..]) })
    }

    /// What the letter after `%a` or `%c` stands for; nothing if the line lacks it, or nobody knows the letter.
    pub(crate) fn part(&self, letter: u8) -> Option<Vec<u8>> {
        match letter {
            b'n' | b'N' => return Some(self.name.to_vec()),
            b'e' | b'E' => return Some(self.mail.to_vec()),
            b'l' | b'L' => return Some(self.mail.split(|byte| *byte == b'@').next().unwrap_or_default().to_vec()),
            _ => {}
        }
        let date = self.date.as_ref()?;
        if letter == b't' {
            return Some(date.seconds.into());
        }
        let moment = date.moment();
        let text = match letter {
            b'd' => format!("{} {} {}", moment.day_and_month(), moment.time(), moment.year_and_zone()),
            b'D' => moment.rfc2822(),
            b'i' => format!("{} {} {}", moment.date(), moment.time(), moment.zone()),
            b'I' => format!("{}T{}{}", moment.date(), moment.time(), moment.strict_zone()),
            b's' => moment.date(),
            _ => return None,
        };
        Some(text.into_bytes())
    }
}

impl<'a> Date<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim_ascii_start();
        let end = text.bytes().take_while(u8::is_ascii_digit).count();
        let (seconds, zone) = text.split_at(end);
        let zone = zone.trim_ascii_start();
        let digits = zone.strip_prefix(['+', '-'])?;
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if seconds.is_empty() || count == 0 {
            return None;
        }
        // The sign is one byte, and one that no number has room for counts as none.
        Some(Self { seconds, zone: zone[..=count].parse().unwrap_or(0) })
    }

    /// One that nobody can express is the beginning of time, as with git.
    fn moment(&self) -> Moment {
        let minutes = self.zone / 100 * 60 + self.zone % 100;
        let seconds: Option<i64> = self.seconds.parse().ok();
        let local = seconds.and_then(|seconds| seconds.checked_add(i64::from(minutes) * 60));
        match local.and_then(|local| OffsetDateTime::from_unix_timestamp(local).ok()) {
            Some(at) => Moment { at, zone: self.zone },
            None => Moment { at: OffsetDateTime::UNIX_EPOCH, zone: 0 },
        }
    }
}

impl Moment {
    fn weekday(&self) -> &'static str {
        DAYS[usize::from(self.at.weekday().number_days_from_monday())]
    }

    fn month(&self) -> &'static str {
        MONTHS[usize::from(u8::from(self.at.month())) - 1]
    }

    fn day_and_month(&self) -> String {
        format!("{} {} {}", self.weekday(), self.month(), self.at.day())
    }

    fn year_and_zone(&self) -> String {
        format!("{} {}", self.at.year(), self.zone())
    }

    fn rfc2822(&self) -> String {
        let (day, month, year) = (self.at.day(), self.month(), self.at.year());
        format!("{}, {day} {month} {year} {} {}", self.weekday(), self.time(), self.zone())
    }

    fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.at.year(), u8::from(self.at.month()), self.at.day())
    }

    fn time(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.at.hour(), self.at.minute(), self.at.second())
    }

    fn zone(&self) -> String {
        format!("{:+05}", self.zone)
    }

    fn strict_zone(&self) -> String {
        let sign = if self.zone < 0 { '-' } else { '+' };
        match self.zone.unsigned_abs() {
            0 => "Z".to_owned(),
            zone => format!("{sign}{:02}:{:02}", zone / 100, zone % 100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(line: &str, letter: u8) -> Option<String> {
        let part = Signature::parse(line.as_bytes())?.part(letter)?;
        Some(String::from_utf8(part).expect("text"))
    }

    #[test]
    fn damaged_signatures_give_what_they_have() {
        let odd = "A > B <a@x.org> 1600000000 +0545";
        assert_eq!(part(odd, b'n').as_deref(), Some("A > B"));
        assert_eq!(part(odd, b'l').as_deref(), Some("a"));
        assert_eq!(part(odd, b'I').as_deref(), Some("2020-09-13T18:11:40+05:45"));
        assert_eq!(part("A <a@x.org>", b'e').as_deref(), Some("a@x.org"));
        for (line, letter) in
            [("A <a@x.org>", b't'), ("A <a@x.org> 5", b't'), ("A <a@x.org> x +0000", b'd'), ("A", b'n')]
        {
            assert_eq!(part(line, letter), None, "{line}");
        }
        assert_eq!(part("A <a> 99999999999999999999 +0100", b'i').as_deref(), Some("1970-01-01 00:00:00 +0000"));
        assert_eq!(part("A <a> 0 +0000", b'I').as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(part("A <a> 0 -0330", b'i').as_deref(), Some("1969-12-31 20:30:00 -0330"));
        assert_eq!(part("A <a> 0 +0000", b'q'), None);
    }
}
