//! What arguments look like: for each kind, values that the function is made for, values at its edges, and now and then
//! something else altogether.

use super::dice::Dice;
use super::term::Term;

/// What a function wants in one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Any,
    /// Anything without sets.
    Plain,
    Number,
    Int,
    /// A small number, such as an index.
    Index,
    /// A number of bits to shift by.
    Shift,
    Base,
    Text,
    NumberText,
    Char,
    Texts,
    TextOrTexts,
    Array,
    Set,
    Collection,
    Countable,
    Numbers,
    Sets,
    Arrays,
    Object,
    Objects,
    Keys,
    /// An object with text for keys and values.
    Renames,
    Nested,
    Paths,
    Graph,
    Nodes,
    Base64,
    Base64Url,
    Hex,
    Query,
    QueryObject,
    Json,
    Glob,
    Delimiters,
    GlobSubject,
    Pattern,
    Subject,
    Replacement,
    Template,
    Delimiter,
    Format,
    Values,
    Cidr,
    CidrOrIp,
    SmallCidr,
    Cidrs,
    CidrSets,
    Semver,
    Duration,
    Rfc3339,
    Nanoseconds,
    When,
}

const PLAIN: &[&str] = &["a", "b", "ab", "abc", ".", "/", "é", "A"];
const TEXTS: &[&str] = &[
    "a", "b", "abc", "A", "Ab", "xyz", "ß", "İ", "ı", "ſ", "é", "e\u{301}", "日本", "😀", " ", "\t", "\n", "\r",
    "\u{a0}", "\u{2028}", "\u{85}", "-", "_", ".", "/", "\\", "\"", "'", "`", "%", "0", "1", "42", "\u{0}", "\u{7}",
    "\u{7f}", "<", ">", "&", "Σ", "σς", "ǆ", "ǅ", "\u{feff}", "\u{200b}", "ﬁ", "K", "+", "=", "{", "}", "[", "]", "$",
    "^", "*", "?",
];
/// As they are printed, so that what prints them can be compared by the letter.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "5",
    "7",
    "10",
    "64",
    "100",
    "255",
    "1000",
    "-7",
    "0.5",
    "1.5",
    "2.5",
    "-1.5",
    "-2.5",
    "0.1",
    "0.2",
    "0.3",
    "3.14159",
    "0.001",
    "123456.789",
    "0.30000000000000004",
    "9007199254740991",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "123456789012345678",
    "4294967296",
];
/// Other ways to write numbers. OPA keeps them; here a number is its value.
const WRITTEN: &[&str] =
    &["1e3", "1.0", "2.50", "1E2", "-0", "0.0", "1e16", "1e-7", "1.25e2", "1e0", "0.1234567890123456789"];

impl Kind {
    /// A value of this kind, or one in twelve times of any other.
    pub(super) fn roll(self, dice: &mut Dice) -> Term {
        match self {
            // OPA itself fails at numbers that are no number of bits, and counts without end where there is one.
            Self::Shift => self.fitting(dice),
            Self::Index if dice.one_in(12) => Term::text("x"),
            // The order between sets and objects is not that of OPA.
            Self::Collection | Self::Plain | Self::Index => self.fitting(dice),
            _ if dice.one_in(12) => any(dice, 2),
            _ => self.fitting(dice),
        }
    }

    fn fitting(self, dice: &mut Dice) -> Term {
        match self {
            Self::Any => any(dice, 3),
            Self::Plain => plain(dice),
            Self::Number => {
                if dice.one_in(5) {
                    Term::number(dice.pick(WRITTEN))
                } else {
                    number(dice)
                }
            }
            Self::Int => integer(dice),
            Self::Index => Term::number(dice.between(-3, 9)),
            Self::Shift => Term::number(dice.between(0, 70)),
            Self::Base => Term::number(dice.pick(&[2, 8, 10, 16, 16, 7, 0])),
            Self::Text => text(dice),
            Self::NumberText => Term::text(number_text(dice)),
            Self::Char => Term::text(dice.pick(&["a", "b", ",", " ", "", "é", "ab", ".", "/"])),
            Self::Texts => {
                let items = dice.list(4, text);
                if dice.one_in(3) { Term::Set(items) } else { Term::Array(items) }
            }
            Self::TextOrTexts => {
                if dice.one_in(2) {
                    text(dice)
                } else {
                    Self::Texts.fitting(dice)
                }
            }
            Self::Array => Term::Array(dice.list(5, |dice| any(dice, 1))),
            Self::Set => Term::Set(dice.list(5, small)),
            Self::Collection => {
                let items = dice.list(5, small);
                if dice.one_in(2) { Term::Set(items) } else { Term::Array(items) }
            }
            Self::Countable => match dice.below(4) {
                0 => text(dice),
                1 => Self::Object.fitting(dice),
                _ => Self::Collection.fitting(dice),
            },
            Self::Numbers => {
                let items = dice.list(4, number);
                if dice.one_in(3) { Term::Set(items) } else { Term::Array(items) }
            }
            Self::Sets => Term::Set(dice.list(4, |dice| Self::Set.fitting(dice))),
            Self::Arrays => {
                Term::Array(dice.list(4, |dice| if dice.one_in(2) { Self::Array.fitting(dice) } else { small(dice) }))
            }
            Self::Object => object(dice, |dice| any(dice, 1)),
            Self::Objects => Term::Array(dice.list(3, |dice| Self::Nested.fitting(dice))),
            Self::Keys => match dice.below(3) {
                0 => Self::Object.fitting(dice),
                1 => Term::Set(dice.list(3, key)),
                _ => Term::Array(dice.list(3, key)),
            },
            Self::Renames => {
                Term::Object(dice.list(3, |dice| (Term::text(dice.words(2, PLAIN)), Term::text(dice.words(2, PLAIN)))))
            }
            Self::Nested => nested(dice, 3),
            Self::Paths => {
                let items = dice.list(3, path);
                if dice.one_in(3) { Term::Set(items) } else { Term::Array(items) }
            }
            Self::Graph => Term::Object(dice.list(4, |dice| {
                let nodes = dice.list(3, node);
                (node(dice), if dice.one_in(2) { Term::Array(nodes) } else { Term::Set(nodes) })
            })),
            Self::Nodes => {
                let nodes = dice.list(2, node);
                if dice.one_in(2) { Term::Array(nodes) } else { Term::Set(nodes) }
            }
            Self::Base64 | Self::Base64Url => Term::text(match dice.below(3) {
                0 => dice.words(4, &["YWJj", "YQ==", "YWI=", "YQ", "_-__", "++//", "\n", "=", "é", "/w=="]),
                _ => dice
                    .pick(&[
                        "YWJj",
                        "YQ==",
                        "YWI=",
                        "aMOpbGxv",
                        "",
                        "8J+YgA==",
                        "8J-YgA==",
                        "YWJjZA",
                        "Zm9v\r\nYmFy",
                        "//79",
                    ])
                    .to_owned(),
            }),
            Self::Hex => Term::text(dice.words(4, &["61", "6A", "c3a9", "ff", "0", "zz", "E2", "82", "AC"])),
            Self::Query => Term::text(dice.words(
                6,
                &[
                    "a", "b", "=", "&", "+", "%20", "%C3%A9", "%zz", "%", ";", "%ff", "é", "a=b", "a[]=1", "#", "?",
                    "%2B", " ",
                ],
            )),
            Self::QueryObject => object(dice, |dice| Self::TextOrTexts.fitting(dice)),
            Self::Json => Term::text(json(dice)),
            Self::Glob => Term::text(dice.words(
                5,
                &[
                    "a", "b", "ab", "*", "**", "?", ".", "/", ":", "{a,b}", "{a*,b}", "[ab]", "[!a]", "[a-c]", "\\*",
                    "{", "}", "[", "]", "é", "-", ",", "{ab,*.b}", "[^a]", "\\", "***", "{,a}",
                ],
            )),
            Self::Delimiters => match dice.below(6) {
                0 => Term::Null,
                1 => Term::Array(Vec::new()),
                2 => Term::Array(vec![Term::text("/")]),
                3 => Term::Array(vec![Term::text(":"), Term::text("-")]),
                4 => Term::Array(vec![Term::text(dice.pick(&["ab", "", "é", "/."]))]),
                _ => Term::Array(vec![Term::text(".")]),
            },
            Self::GlobSubject => Term::text(dice.words(6, &["a", "b", "ab", "c", ".", "/", ":", "é", "-", "*"])),
            Self::Pattern => Term::text(pattern(dice)),
            Self::Subject => {
                Term::text(dice.words(6, &["a", "b", "ab", "A", "1", "23", " ", "\n", "é", "-", ".", "_", "日"]))
            }
            Self::Replacement => {
                Term::text(dice.words(3, &["x", "$1", "${1}", "$0", "$$", "$1x", "${1}x", "${n}", "$", "\\", "é"]))
            }
            Self::Template => Term::text(dice.words(
                5,
                &[
                    "a", "b", "{a+}", "{.*}", "{[0-9]+}", "urn:", ":", ".", "<a|b>", "{", "}", "<", ">", "é", "(",
                    "{()}",
                ],
            )),
            Self::Delimiter => Term::text(dice.pick(&["{", "}", "<", ">", "{", "}", "", "ab", "é"])),
            Self::Format => Term::text(format(dice)),
            Self::Values => Term::Array(dice.list(3, |dice| any(dice, 2))),
            Self::Cidr => Term::text(cidr(dice)),
            Self::CidrOrIp => Term::text(if dice.one_in(2) { ip(dice) } else { cidr(dice) }),
            Self::SmallCidr => {
                let (ip, bits) = if dice.one_in(2) {
                    (dice.pick(&["10.0.0.7", "192.168.1.255", "255.255.255.255", "0.0.0.0"]).to_owned(), 32)
                } else {
                    (
                        dice.pick(&[
                            "2001:db8::ff",
                            "::1",
                            "::ffff:1.2.3.4",
                            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                        ])
                        .to_owned(),
                        128,
                    )
                };
                Term::text(format!("{ip}/{}", bits - dice.below(6)))
            }
            Self::Cidrs => {
                // OPA loses zeros at the beginning of IPv6 addresses when it merges them.
                let whole = |term: &Term| !matches!(term, Term::Text(text) if text.starts_with("::"));
                let mut items = dice.list(5, |dice| Self::CidrOrIp.roll(dice));
                items.retain(whole);
                if dice.one_in(3) { Term::Set(items) } else { Term::Array(items) }
            }
            Self::CidrSets => {
                let entry = |dice: &mut Dice| {
                    let cidr = Self::CidrOrIp.roll(dice);
                    if dice.one_in(4) { Term::Array(vec![cidr, small(dice)]) } else { cidr }
                };
                match dice.below(4) {
                    0 => Self::CidrOrIp.fitting(dice),
                    1 => Term::Set(dice.list(3, entry)),
                    2 => Term::Object(dice.list(3, |dice| (key(dice), entry(dice)))),
                    _ => Term::Array(dice.list(3, entry)),
                }
            }
            Self::Semver => Term::text(match dice.below(3) {
                0 => dice.words(6, &["1", "0", "12", ".", ".", "-", "+", "alpha", "rc", "01", "v"]),
                _ => format!(
                    "{}.{}.{}{}{}",
                    dice.pick(&["1", "0", "10", "01", "v1", "99999999999999999999"]),
                    dice.pick(&["0", "2", "11"]),
                    dice.pick(&["0", "3", "4"]),
                    dice.pick(&["", "", "-rc.1", "-alpha", "-alpha.1", "-1", "-01", "-rc.10", "-", "-a.b.c", "-é"]),
                    dice.pick(&["", "", "+b", "+b.01", "+"]),
                ),
            }),
            Self::Duration => Term::text(match dice.below(4) {
                0 => dice.words(5, &["1", "h", "m", "s", "ms", "us", "µs", "μs", "ns", ".", "5", "-", "+", "d", " "]),
                _ => dice
                    .pick(&[
                        "1h",
                        "1h30m",
                        "1.5h",
                        "100ms",
                        "-2m",
                        "+3s",
                        "0",
                        "1us",
                        "1µs",
                        "2562047h47m16.854775807s",
                        "3000000h",
                        "0.1ns",
                        "0.18446744073709551616h",
                        ".5s",
                        "1.s",
                        "1d",
                        "",
                        "-0",
                        "1h1h",
                    ])
                    .to_owned(),
            }),
            Self::Rfc3339 => Term::text(rfc3339(dice)),
            Self::Nanoseconds => nanoseconds(dice),
            Self::When => when(dice),
        }
    }
}

fn text(dice: &mut Dice) -> Term {
    Term::text(if dice.one_in(2) { dice.words(5, PLAIN) } else { dice.words(5, TEXTS) })
}

fn number(dice: &mut Dice) -> Term {
    match dice.below(4) {
        0 => Term::number(dice.between(-20, 20)),
        1 => Term::Number(format!("{}.{}", dice.between(-99, 99), dice.pick(&["5", "25", "125", "1", "333", "75"]))),
        _ => Term::number(dice.pick(NUMBERS)),
    }
}

fn integer(dice: &mut Dice) -> Term {
    match dice.below(4) {
        0 | 1 => Term::number(dice.between(-300, 300)),
        2 => Term::number(dice.pick(&["9223372036854775807", "-9223372036854775808", "4294967295", "65536"])),
        _ => number(dice),
    }
}

fn number_text(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => dice.words(4, &["1", "2", "-", " ", "5", "13", "inf", "n", "é"]),
        _ => dice.pick(NUMBERS).to_owned(),
    }
}

fn small(dice: &mut Dice) -> Term {
    match dice.below(5) {
        0 => Term::text(dice.pick(&["a", "b", "c", "", "A"])),
        1 => Term::number(dice.between(-1, 3)),
        2 if dice.one_in(3) => Term::Null,
        2 => Term::Bool(dice.one_in(2)),
        3 => Term::number(dice.pick(&["1.5", "10", "2"])),
        _ => Term::text(dice.words(2, PLAIN)),
    }
}

fn any(dice: &mut Dice, depth: usize) -> Term {
    match dice.below(if depth == 0 { 5 } else { 8 }) {
        0 if dice.one_in(3) => Term::Null,
        0 => Term::Bool(dice.one_in(2)),
        1 | 2 => number(dice),
        3 | 4 => text(dice),
        5 => Term::Array(dice.list(3, |dice| any(dice, depth - 1))),
        6 => Term::Set(dice.list(3, |dice| any(dice, depth - 1))),
        _ => object(dice, |dice| any(dice, depth - 1)),
    }
}

fn plain(dice: &mut Dice) -> Term {
    loop {
        let term = any(dice, 2);
        if term.is_json() {
            return term;
        }
    }
}

fn key(dice: &mut Dice) -> Term {
    if dice.one_in(8) { small(dice) } else { Term::text(dice.pick(&["a", "b", "c", "a/b", "~"])) }
}

/// An object, keys once each.
fn object(dice: &mut Dice, value: impl Fn(&mut Dice) -> Term) -> Term {
    let mut fields: Vec<(Term, Term)> = Vec::new();
    for (key, value) in dice.list(4, |dice| (key(dice), value(dice))) {
        if !fields.iter().any(|(there, _)| *there == key) {
            fields.push((key, value));
        }
    }
    Term::Object(fields)
}

fn nested(dice: &mut Dice, depth: usize) -> Term {
    object(dice, |dice| match dice.below(if depth == 0 { 1 } else { 5 }) {
        0 | 1 => small(dice),
        2 => Term::Array(dice.list(3, |dice| if dice.one_in(2) { nested(dice, 0) } else { small(dice) })),
        3 => Term::Set(dice.list(3, small)),
        _ => nested(dice, depth - 1),
    })
}

fn segment(dice: &mut Dice) -> &'static str {
    dice.pick(&["a", "b", "c", "0", "1", "-", "a~1b", "~0", "", "x", "a", "b"])
}

fn path(dice: &mut Dice) -> Term {
    match dice.below(4) {
        0 => Term::Array(dice.list(3, |dice| if dice.one_in(5) { small(dice) } else { Term::text(segment(dice)) })),
        1 => Term::text(dice.words(3, &["a", "b", "/", "0", "~1", "~0", "/a", "/b"])),
        _ => Term::text((0..=dice.below(3)).map(|_| format!("/{}", segment(dice))).collect::<String>()),
    }
}

fn node(dice: &mut Dice) -> Term {
    if dice.one_in(10) { small(dice) } else { Term::text(dice.pick(&["a", "b", "c", "d", "e"])) }
}

fn json(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => any_json(dice, 3),
        1 => dice.words(
            6,
            &[
                "{",
                "}",
                "[",
                "]",
                "\"a\"",
                ":",
                ",",
                "1",
                " ",
                "\n",
                "01",
                "-",
                "1.",
                "\"\\u00e9\"",
                "\"\\ud800\"",
                "'a'",
                "\u{feff}",
            ],
        ),
        _ => format!("{}{}", any_json(dice, 2), dice.pick(&["", " ", "x", "\n", " 1", ","])),
    }
}

fn any_json(dice: &mut Dice, depth: usize) -> String {
    loop {
        let term = any(dice, depth);
        if term.is_json() {
            return term.json();
        }
    }
}

fn pattern(dice: &mut Dice) -> String {
    dice.words(
        5,
        &[
            "a",
            "b",
            "ab",
            ".",
            "*",
            "+",
            "?",
            "^",
            "$",
            "(a|b)",
            "(?:a)",
            "[ab]",
            "[^a]",
            "[a-z]",
            "\\d",
            "\\w",
            "\\s",
            "\\b",
            "\\.",
            "{2}",
            "{1,2}",
            "(",
            ")",
            "[",
            "é",
            "\\pL",
            "\\p{Greek}",
            "(?i)a",
            "(?P<n>a)",
            "(?<n>b)",
            "|",
            "\\A",
            "\\z",
            "\\Z",
            "(?s).",
            "(?m)^",
            "(?U)b",
            "\\Q.\\E",
            "\\x41",
            "\\x{e9}",
            "[[:alpha:]]",
            "\\C",
            "(?=a)",
            "\\1",
            "\\B",
            "\\D",
            "\\W",
            "a{,2}",
            "[[:word:]]",
            "\\pN",
            "[a&&b]",
            "[a--b]",
            "\\<",
            "\\-",
            "\\_",
            "\\é",
            "{",
            "}",
            "]",
            "(?-i)b",
            "a**",
            "\\u0041",
            "[a-\\d]",
            "x{1001}",
        ],
    )
}

fn format(dice: &mut Dice) -> String {
    (0..dice.below(4))
        .map(|_| match dice.below(5) {
            0 => dice.words(2, TEXTS).replace('%', ""),
            _ => format!(
                "%{}{}{}",
                dice.pick(&[
                    "", "", "", "", "5", "-5", "05", "+", " ", "#", "0", "12", "-", "[1]", "[2]", "*", "+5", "#5", "x",
                    "-05"
                ]),
                dice.pick(&["", "", "", "", ".2", ".0", ".10", "."]),
                dice.pick(&[
                    "v", "s", "d", "v", "s", "d", "q", "x", "X", "f", "t", "T", "b", "o", "O", "c", "U", "e", "E", "g",
                    "G", "F", "p", "w", "%", "z", "!", "é", ""
                ])
            ),
        })
        .collect()
}

fn ip(dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => dice.words(7, &["1", "10", ".", ":", "::", "ffff", "255", "0", "fe80", "%eth0", "01", "g", "256"]),
        1 => dice
            .pick(&[
                "::1",
                "::",
                "2001:db8::1",
                "fe80::1",
                "::ffff:10.1.2.3",
                "2001:db8:0:0:1::",
                "::1.2.3.4",
                "fe80::1%eth0",
                "2001:DB8::A",
                "1::2::3",
                "::ffff:0:0",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ])
            .to_owned(),
        2 => format!("10.{}.{}.{}", dice.below(2), dice.below(3), dice.below(5)),
        _ => dice
            .pick(&[
                "10.0.0.1",
                "10.0.0.0",
                "192.168.1.7",
                "255.255.255.255",
                "0.0.0.0",
                "172.16.0.1",
                "01.2.3.4",
                "1.2.3",
                "1.2.3.4.5",
                "1.2.3.256",
                " 1.2.3.4",
            ])
            .to_owned(),
    }
}

fn cidr(dice: &mut Dice) -> String {
    let ip = ip(dice);
    let most = if ip.contains(':') { 130 } else { 34 };
    match dice.below(10) {
        0 => format!("{ip}/{}", dice.pick(&["", "08", "+8", "-1", " 8", "8 ", "255.0.0.0", "999999999999", "8/8"])),
        1 => ip,
        _ => format!(
            "{ip}/{}",
            if dice.one_in(2) { dice.below(most) } else { dice.pick(&[0, 7, 8, 16, 23, 24, 29, 30, 31, 32]) }
        ),
    }
}

fn zone(dice: &mut Dice) -> &'static str {
    dice.pick(&[
        "UTC",
        "",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Local",
        "EST",
        "Mars/Base",
        "Pacific/Apia",
        "utc",
        "Etc/GMT+5",
    ])
}

fn nanoseconds(dice: &mut Dice) -> Term {
    match dice.below(5) {
        0 => integer(dice),
        1 => Term::number(dice.between(-1_000_000_000_000_000_000, 4_000_000_000_000_000_000)),
        2 => Term::number(dice.between(1_600_000_000, 1_900_000_000) * 1_000_000_000),
        _ => Term::number(dice.pick(&[
            "0",
            "1700000000000000000",
            "1709164800000000000",
            "1711846800000000000",
            "-1",
            "1732234567123456789",
            "9223372036854775807",
            "-9223372036854775808",
            "1740787199000000000",
            "1.5",
        ])),
    }
}

fn when(dice: &mut Dice) -> Term {
    // Summer time is known until the year 2100.
    let until = dice.between(-1_000_000_000_000_000_000, 4_000_000_000_000_000_000);
    if dice.one_in(2) { nanoseconds(dice) } else { Term::Array(vec![Term::number(until), Term::text(zone(dice))]) }
}

fn rfc3339(dice: &mut Dice) -> String {
    format!(
        "{}{}{}{}{}",
        dice.pick(&[
            "2024-02-29",
            "2023-02-29",
            "2024-12-31",
            "1970-01-01",
            "1677-09-21",
            "2262-04-12",
            "2024-1-1",
            "2024-13-01",
            "0000-01-01",
            "9999-12-31",
            "2024-06-15"
        ]),
        dice.pick(&["T", "T", "T", "t", " ", ""]),
        dice.pick(&["00:00:00", "23:59:59", "23:59:60", "24:00:00", "12:30:45", "1:02:03", "12:30"]),
        dice.pick(&["", "", ".5", ".123456789", ".1234567891", ",5", "."]),
        dice.pick(&["Z", "Z", "z", "+02:00", "-05:30", "+24:00", "+0200", "", "+23:59", "-00:00"]),
    )
}
