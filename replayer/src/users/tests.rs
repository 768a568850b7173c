//! What a users file may look like, and how each mistake in it is told.

use proptest::prelude::*;

use super::*;

fn users(text: impl AsRef<[u8]>) -> Result<Users, String> {
    read(text.as_ref(), text.as_ref().len() as u64)
}

fn rows(users: &Users) -> Vec<Vec<String>> {
    let text = |cell: &[u8]| String::from_utf8(cell.to_vec()).expect("cells are UTF-8");
    (0..users.rows()).map(|row| users.row(row).map(text).collect()).collect()
}

fn check(text: &str, columns: &[&str], expected: &[&[&str]]) {
    let users = users(text).unwrap_or_else(|why| panic!("{text:?}: {why}"));
    assert_eq!(users.columns(), columns, "{text:?}");
    assert_eq!(rows(&users), expected, "{text:?}");
}

fn refused(text: impl AsRef<[u8]>, word: &str) {
    let why = users(text).expect_err(word);
    assert!(why.contains(word), "expected `{word}` in: {why}");
    assert!(!why.contains("s3cret"), "a value is quoted: {why}");
}

#[test]
fn separated_values_are_read() {
    let both: &[&[&str]] = &[&["ann", "x"], &["bob", "y"]];
    for delimiter in [",", ";", "\t"] {
        for line_break in ["\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                let lines = ["user,password", "ann,x", "bob,y"].join(line_break);
                let text = format!("{mark}{}", lines.replace(',', delimiter));
                check(&text, &["user", "password"], both);
                check(&format!("{text}{line_break}{line_break}"), &["user", "password"], both);
            }
        }
    }
    check("user\nann\n\nbob\n", &["user"], &[&["ann"], &["bob"]]);
    check("\n\n user , note \nann,\n", &["user", "note"], &[&["ann", ""]]);
}

#[test]
fn quotes_hold_delimiters_breaks_and_quotes() {
    check("\"a;b\",c\n\"1,2\",\"say \"\"hi\"\"\"\n", &["a;b", "c"], &[&["1,2", "say \"hi\""]]);
    check("a,b\n\"two\r\nlines\",é\n\"\",x", &["a", "b"], &[&["two\r\nlines", "é"], &["", "x"]]);
}

#[test]
fn objects_are_read() {
    check(
        "{\"user\":\"ann\",\"age\":30}\n\n{\"age\": 12345678901234567890123, \"user\": \"b\\u00f6b\\n\"}\r\n",
        &["user", "age"],
        &[&["ann", "30"], &["böb\n", "12345678901234567890123"]],
    );
    check("\u{feff} {\"a\":1.50,\"b\":true,\"c\":null}", &["a", "b", "c"], &[&["1.50", "true", ""]]);
}

#[test]
fn mistakes_in_separated_values_name_their_line() {
    refused("", "it is empty");
    refused("\r\n\n", "it is empty");
    refused("user,password\n", "not one row");
    refused("user,user\nann,s3cret\n", "line 1: columns 1 and 2 have the same name");
    refused("user,\nann,s3cret\n", "line 1: column 2 has no name");
    refused("user,password\nann,s3cret\nbob\n", "line 3: 1 values, but the first row names 2");
    refused("user,password\r\n\r\n\"a\r\nb\",s3cret\r\nbob,s3cret,x\r\n", "line 5: 3 values");
    refused("user,password\nann,\"s3cret\nbob,x\n", "line 2: a quote that opens in this row");
    refused("user,password\nann,\"s3cret", "line 2: a quote that opens in this row");
    refused("user,password\nann,s3cret\n,\n", "line 3: no column has a value");
    refused(b"user,password\nann,s3cret\xff\n", "line 2: column `password` is not UTF-8");
    refused(b"us\xffer\nann\n", "line 1: a column's name is not UTF-8");
    refused(format!("user\n{}", "s3cret".repeat(200_000)), "line 2: the row is longer than 1 MiB");
    refused(format!("user\nann\n{}", "s3cret".repeat(20_000)), "line 3: column `user` is longer than 64 KiB");
    refused(format!("a{}\n", ",b".repeat(1500)), "line 1: more than 1024 values");
}

#[test]
fn mistakes_in_objects_name_their_line() {
    refused("{\"a\":\"s3cret\",\"a\":2}\n", "line 1: columns 1 and 2 have the same name");
    refused("{}\n", "line 1: an object without a field");
    refused("{\"a\":1}\n{\"a\":{\"b\":\"s3cret\"}}", "line 2: column `a` holds an object");
    refused("{\"a\":[\"s3cret\"]}", "line 1: column `a` holds an object or a list");
    refused("{\"a\":1,\"b\":2}\n{\"a\":\"s3cret\"}", "line 2: column `b` is missing");
    refused("{\"a\":1}\n{\"a\":1,\"s3cret\":3}", "line 2: field 2 is not in the first line");
    refused("{\"a\":1,\"b\":2}\n{\"a\":1,\"a\":2,\"b\":1}", "line 2: column `a` is there twice");
    refused("{\"a\":1}\n\n\"s3cret\"\n", "line 3: not a JSON object");
    refused("{\"a\":1}\n{\"a\":\"s3cret\n", "line 2: not valid JSON");
    refused("{\"a\":1}{\"a\":2}\n", "line 1: not valid JSON");
    refused("{\"a\":\"s3cret\\ud800\"}", "line 1: column `a` holds text that is not Unicode");
    refused("{\"a\":\"\"}", "line 1: no column has a value");
    refused(format!("{{\"a\":\"{}\"}}", "s3cret".repeat(200_000)), "line 1: longer than 1 MiB");
    refused("[{\"a\":\"s3cret\"}]", "one object a line");
}

#[test]
fn other_files_are_named_for_what_they_are() {
    refused(b"\x1f\x8b\x08\0", "compressed");
    refused(b"\x28\xb5\x2f\xfd....", "compressed");
    refused(b"\xff\xfeu\0s\0", "UTF-16");
    refused(b"user\0,s3cret", "not a text file");
    let folder = tempfile::tempdir().expect("folder");
    let load = |path: &Path| Users::load(path).expect_err("no users file");
    assert!(load(folder.path()).contains("cannot be read"));
    assert!(load(&folder.path().join("none.csv")).contains("none.csv: cannot be opened"));
}

#[test]
fn a_file_is_loaded_and_its_columns_are_found() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("users.csv");
    let lines: String = (0..20_000).map(|row| format!("user{row},token-{row:08}\n")).collect();
    std::fs::write(&path, format!("user,token\n{lines}")).expect("written");
    let users = Users::load(&path).expect("users");
    assert_eq!((users.rows(), users.column("token")), (20_000, Ok(1)));
    assert_eq!(users.cell(users.row_of(39_999), 1), b"token-00019999");
    assert!(users.column("pass").is_err_and(|why| why.contains("`pass`; it has user, token")));
    assert_eq!(format!("{users:?}"), "Users { columns: 2, rows: 20000 }");
    assert!(users.memory() < lines.len() as u64 + 20_000 * 2 * 4);
}

#[test]
fn too_few_rows_are_refused_with_both_numbers() {
    let users = users("user\nann\nbob\n").expect("users");
    let enough = |needed, wrap| enough(users.rows(), needed, wrap);
    assert_eq!(enough(Some(2), false), Ok(()));
    assert_eq!(enough(Some(1_000_000), true), Ok(()));
    assert_eq!(enough(None, true), Ok(()));
    let why = enough(Some(1_000_000), false).expect_err("two rows");
    assert!(
        why.contains("2 rows") && why.contains("1,000,000 sessions") && why.contains("--users-wrap"),
        "{why}"
    );
    assert!(enough(None, false).is_err_and(|why| why.contains("--users-wrap")));
}

#[test]
fn line_breaks_are_kept_out_of_headers() {
    let users = users("good,bad\na\tb é,x\nc,\"s3cret\nd: e\"\n").expect("users");
    assert_eq!(users.check_header(0), Ok(()));
    let why = users.check_header(1).expect_err("a line break");
    assert!(why.contains("`bad`") && why.contains("row 2") && !why.contains("s3cret"), "{why}");
}

/// Gives its bytes in pieces of one size, as pipes do.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let most = self.1.min(out.len());
        self.0.read(&mut out[..most])
    }
}

proptest! {
    #[test]
    fn any_table_comes_back_from_both_kinds(
        table in prop::collection::vec(prop::collection::vec("[a\",;\t\r\né ]{0,6}", 3), 1..20),
        piece in 1_usize..9,
    ) {
        let table: Vec<Vec<String>> =
            table.into_iter().filter(|row| row.iter().any(|cell| !cell.is_empty())).collect();
        prop_assume!(!table.is_empty());
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(";");
        let csv = table.iter().map(line).collect::<Vec<_>>().join("\r\n");
        let object = |row: &Vec<String>| serde_json::json!({"x": row[0], "y": row[1], "z": row[2]}).to_string();
        let json = table.iter().map(object).collect::<Vec<_>>().join("\n");
        for text in [format!("x;y;z\n{csv}"), json] {
            let input = BufReader::with_capacity(piece, Pieces(text.as_bytes(), piece));
            let found = read(input, 0).map_err(TestCaseError::fail)?;
            prop_assert_eq!(rows(&found), table.clone());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = users(&bytes);
        let _ = users([b"{\"a\":", bytes.as_slice()].concat());
        let _ = users([b"a,b\n", bytes.as_slice()].concat());
    }
}
