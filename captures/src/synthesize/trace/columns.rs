//! Which column of a file has the times.

use serde_json::Value;

use super::time::{self, Unit};

/// Where in a line the time is.
pub(super) struct Columns {
    form: Form,
    /// Its place among the columns, or its path in a document.
    place: usize,
    name: String,
    unit: Unit,
    has_head: bool,
}

/// How a line is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Cells(char),
    Json,
    AccessLog,
}

impl Columns {
    /// Looks at the first lines of a file.
    pub(super) fn find(lines: &[&str], wanted: Option<&str>) -> Result<Columns, String> {
        let Some(first) = lines.first() else { return Err("there is no line in it".to_owned()) };
        if first.trim_start().starts_with('{') {
            return Columns::in_json(lines, wanted);
        }
        let has_time = |line: &&str| bracketed(line).is_some_and(|text| time::date(text).is_some());
        if wanted.is_none() && lines.iter().filter(|line| has_time(line)).count() * 2 > lines.len() {
            let name = "access log".to_owned();
            return Ok(Columns {
                form: Form::AccessLog,
                place: 0,
                name,
                unit: Unit::Seconds,
                has_head: false,
            });
        }
        Columns::in_cells(lines, wanted)
    }

    /// What the column is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Lines before the first time.
    pub(super) fn head_lines(&self) -> usize {
        usize::from(self.has_head)
    }

    /// The time of a line, in microseconds.
    pub(super) fn time(&self, line: &str) -> Result<u64, String> {
        let text = match self.form {
            Form::AccessLog => bracketed(line).ok_or("no time in brackets")?.to_owned(),
            Form::Cells(separator) => cells(line, separator)
                .into_iter()
                .nth(self.place)
                .ok_or_else(|| format!("no {}", self.name))?,
            Form::Json => {
                let document: Value = serde_json::from_str(line).map_err(|_| "no JSON".to_owned())?;
                field(&document, &self.name).ok_or_else(|| format!("no {}", self.name))?
            }
        };
        time::either(&text, self.unit).ok_or_else(|| match text.trim() {
            "" => format!("{} is empty", self.name),
            text => format!("`{}` is no time", text.chars().take(SHOWN).collect::<String>()),
        })
    }

    fn in_cells(lines: &[&str], wanted: Option<&str>) -> Result<Columns, String> {
        let separator = [',', ';', '\t']
            .into_iter()
            .max_by_key(|separator| lines[0].matches(*separator).count())
            .filter(|separator| lines[0].contains(*separator))
            .unwrap_or(',');
        let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line, separator)).collect();
        let is_time = |text: &String| time::number(text).is_some() || time::date(text).is_some();
        let has_head = !rows[0].iter().any(is_time) && (1 < rows.len() || wanted.is_some());
        let names: Vec<String> = match has_head {
            true => rows[0].iter().map(|name| name.trim().to_owned()).collect(),
            false => (1..=rows[0].len()).map(|place| format!("column {place}")).collect(),
        };
        let rows = &rows[usize::from(has_head)..];
        let of = |place: usize| rows.iter().map(|row| row.get(place).cloned()).collect::<Vec<_>>();
        let place = match wanted {
            Some(wanted) => {
                let is_wanted = |name: &&String| {
                    name.eq_ignore_ascii_case(wanted) || name.strip_prefix("column ") == Some(wanted)
                };
                let found = names.iter().position(|name| is_wanted(&name));
                found.ok_or_else(|| missing(wanted, &names))?
            }
            None => best(&names, of)?,
        };
        let unit = unit(&names[place], &of(place));
        Ok(Columns { form: Form::Cells(separator), place, name: names[place].clone(), unit, has_head })
    }

    fn in_json(lines: &[&str], wanted: Option<&str>) -> Result<Columns, String> {
        let documents: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut names: Vec<String> = Vec::new();
        if let Some(Value::Object(fields)) = documents.first() {
            let is_leaf = |value: &Value| value.is_string() || value.is_number();
            names.extend(fields.iter().filter(|(_, value)| is_leaf(value)).map(|(name, _)| name.clone()));
        }
        let of = |name: &str| documents.iter().map(|document| field(document, name)).collect::<Vec<_>>();
        let name = match wanted {
            Some(wanted) if of(wanted).iter().any(Option::is_some) => wanted.to_owned(),
            Some(wanted) => return Err(missing(wanted, &names)),
            None => names[best(&names, |place| of(&names[place]))?].clone(),
        };
        let unit = unit(&name, &of(&name));
        Ok(Columns { form: Form::Json, place: 0, name, unit, has_head: false })
    }
}

fn missing(wanted: &str, names: &[String]) -> String {
    format!("it has no column `{wanted}`; it has {}", names.join(", "))
}

/// The column that is most likely the time of arrival.
fn best(names: &[String], of: impl Fn(usize) -> Vec<Option<String>>) -> Result<usize, String> {
    let scores = (0..names.len()).filter_map(|place| Some((score(&names[place], &of(place))?, place)));
    // of equals the first
    let found = scores.max_by_key(|(score, place)| (*score, usize::MAX - place));
    found.map(|(_, place)| place).ok_or_else(|| {
        format!(
            "no column has times (seconds, or dates as in RFC 3339); it has {}; name one with --arrivals-column",
            names.join(", ")
        )
    })
}

/// `None` for a column that has no times.
fn score(name: &str, values: &[Option<String>]) -> Option<u32> {
    let all = values.len();
    let known: Vec<&String> = values.iter().flatten().collect();
    let dates =
        known.iter().filter(|text| time::number(text).is_none() && time::date(text).is_some()).count();
    let times: Vec<u64> = known.iter().filter_map(|text| time::either(text, unit(name, values))).collect();
    if times.len() * 2 <= all {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let sounds = ["time", "arriv", "stamp", "date", "start"].iter().any(|word| name.contains(word));
    let falls = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    let differs = times.first() != times.last();
    Some(
        6 * u32::from(TIME_NAMES.contains(&name.as_str()))
            + 2 * u32::from(sounds)
            + 4 * u32::from(all < dates * 2)
            + 4 * u32::from(falls * 20 <= times.len() && differs),
    )
}

fn unit(name: &str, values: &[Option<String>]) -> Unit {
    let numbers = values.iter().flatten().filter_map(|text| time::number(text));
    Unit::of(name, numbers.fold(0.0, f64::max))
}

/// A field by its name, or by its path with dots.
fn field(document: &Value, name: &str) -> Option<String> {
    let found = document.get(name).or_else(|| name.split('.').try_fold(document, |at, part| at.get(part)))?;
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The cells of a line; within quotes a separator is text, and two quotes are one.
fn cells(line: &str, separator: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let cell = cells.last_mut().expect("there is always a cell");
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            _ if character == separator && !quoted => cells.push(String::new()),
            _ => cell.push(character),
        }
    }
    cells
}

/// What stands in the first brackets of a line.
fn bracketed(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('[')?;
    rest.split_once(']').map(|(inside, _)| inside)
}

/// What columns of times are called.
const TIME_NAMES: [&str; 13] = [
    "timestamp",
    "time",
    "ts",
    "t",
    "at",
    "when",
    "arrival",
    "arrived_at",
    "arrival_time",
    "start",
    "start_time",
    "date",
    "datetime",
];
/// Of a value that is no time, characters that are shown.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(lines: &[&str], wanted: Option<&str>) -> Result<String, String> {
        Columns::find(lines, wanted).map(|columns| columns.name)
    }

    #[test]
    fn columns_are_found_by_name_and_by_content() {
        let check =
            |lines: &[&str], expect: &str| assert_eq!(name(lines, None).as_deref(), Ok(expect), "{lines:?}");
        check(&["TIMESTAMP,Tokens", "2023-11-16 18:17:03.97,12", "2023-11-16 18:17:04.97,7"], "TIMESTAMP");
        check(&["tokens;when", "5;2023-11-16T18:17:03Z", "4;2023-11-16T18:18:03Z"], "when");
        check(&["user\tstart_time\tsize", "7\t0.5\t99", "3\t1.5\t12", "5\t1.6\t98"], "start_time");
        check(&["0.5", "0.7", "1.1"], "column 1");
        check(&["12,0.5", "3,0.7", "7,1.1"], "column 2");
        check(&["id,at", "1,10", "2,10.5", "3,9"], "at");
        check(&["\"a,b\",\"ts\"", "x,1", "y,2"], "ts");
        check(
            &[r#"{"id":5,"load_timestamp":9,"timestamp":3}"#, r#"{"id":5,"load_timestamp":9,"timestamp":4}"#],
            "timestamp",
        );
        check(&["::1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5"], "access log");
    }

    #[test]
    fn a_column_that_is_not_there_says_which_are() {
        let csv = ["a,b", "1,2"];
        assert_eq!(name(&csv, Some("B")).as_deref(), Ok("b"));
        assert_eq!(name(&csv, Some("c")).unwrap_err(), "it has no column `c`; it has a, b");
        assert_eq!(name(&["1,2"], Some("2")).as_deref(), Ok("column 2"));
        let json = [r#"{"at":{"s":1},"n":2}"#];
        assert_eq!(name(&json, Some("at.s")).as_deref(), Ok("at.s"));
        assert_eq!(name(&json, Some("at.t")).unwrap_err(), "it has no column `at.t`; it has n");
        assert!(name(&["a,b", "x,y"], None).unwrap_err().contains("no column has times"));
        assert!(name(&[], None).unwrap_err().contains("no line"));
    }
}
