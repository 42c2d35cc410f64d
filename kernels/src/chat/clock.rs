//! Dates for templates that name the day, from a clock that the caller reads.

/// `strftime` for the directives that chat templates use; others stay as they are.
///
/// `now` is in seconds since 1970-01-01 00:00, in the person's own time zone.
pub(super) fn strftime(format: &str, now: u64) -> String {
    let (year, month, day) = date(now / 86_400);
    let (hour, minute, second) = (now / 3600 % 24, now / 60 % 60, now % 60);
    let mut out = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let bare = letters.next_if_eq(&'-').is_some();
        let number = |value: u64| if bare { value.to_string() } else { format!("{value:02}") };
        match letters.next() {
            Some('Y') => out.push_str(&year.to_string()),
            Some('y') => out.push_str(&number(year % 100)),
            Some('m') => out.push_str(&number(month)),
            Some('d') => out.push_str(&number(day)),
            Some('H') => out.push_str(&number(hour)),
            Some('I') => out.push_str(&number((hour + 11) % 12 + 1)),
            Some('M') => out.push_str(&number(minute)),
            Some('S') => out.push_str(&number(second)),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('B') => out.push_str(MONTHS[month as usize - 1]),
            Some('b') => out.push_str(&MONTHS[month as usize - 1][..3]),
            Some('A') => out.push_str(DAYS[(now / 86_400 % 7) as usize]),
            Some('a') => out.push_str(&DAYS[(now / 86_400 % 7) as usize][..3]),
            Some('%') | None => out.push('%'),
            Some(other) => out.extend(['%', other]),
        }
    }
    out
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// 1970 began on a Thursday.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Years that start in March have their leap day at the end; 400 of them have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let calendar_month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(calendar_month <= 2), calendar_month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: seconds, format, text; made with Python's `datetime`.
    #[test]
    fn dates_are_pythons() {
        let rows = [
            (0, "%A %d %B %Y %H:%M:%S", "Thursday 01 January 1970 00:00:00"),
            (951_782_400, "%Y-%m-%d %a", "2000-02-29 Tue"),
            (1_721_988_306, "%d %b %Y, %I:%M %p", "26 Jul 2024, 10:05 AM"),
            (4_107_542_399, "%-d/%-m/%y %p %%%Q", "28/2/00 PM %%Q"),
        ];
        for (now, format, text) in rows {
            assert_eq!(strftime(format, now), text, "{format}");
        }
    }
}
