//! Tables of statements, at the top of the modules that test them.

/// Of the table at the top of `module`: a row for each of the statements 1 to `count` of that letter, in order, and in
/// `tests`, a test of each name in it; `words` have an underscore too, and are no tests. Answers which statements have
/// no test, or say of themselves that they are not here.
#[track_caller]
pub(crate) fn untested(module: &str, letter: char, count: usize, words: &[&str], tests: &[&str]) -> Vec<usize> {
    let rows: Vec<&str> = module.lines().filter(|line| line.starts_with(&format!("//! | {letter}"))).collect();
    assert_eq!(rows.len(), count, "rows of {letter}");
    let mut untested = Vec::new();
    for (number, row) in (1..).zip(rows) {
        assert!(row.starts_with(&format!("//! | {letter}{number} | ")), "{letter}{number} has no row where it belongs");
        let quoted = row.split('`').skip(1).step_by(2);
        let is_name = |quoted: &&str| quoted.contains('_') && !quoted.contains(['.', '/', ' ']);
        let names: Vec<&str> = quoted.filter(is_name).filter(|name| !words.contains(name)).collect();
        for name in &names {
            let function = format!("fn {name}(");
            assert!(tests.iter().any(|tests| tests.contains(&function)), "there is no test {name}");
        }
        untested.extend((names.is_empty() || row.contains("| not here")).then_some(number));
    }
    untested
}
