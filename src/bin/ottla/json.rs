//! Records as JSON, as `consume --json` prints and `produce --input json` reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Names and values, in order.
type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A record that was read from a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonRecord {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Headers,
    pub(crate) timestamp: Option<i64>,
    /// Where it was.
    pub(crate) partition: Option<u32>,
}

impl JsonRecord {
    /// Reads a line; the error says what is wrong with it.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let object: Map<String, Value> =
            serde_json::from_slice(line).map_err(|error| format!("it is no JSON object: {error}"))?;
        let mut record = Self::default();
        for (name, value) in object {
            match name.as_str() {
                "key" => record.key = bytes("key", value)?,
                "value" => record.value = bytes("value", value)?,
                "headers" => record.headers = headers(value)?,
                "timestamp" => record.timestamp = whole("timestamp", &value)?,
                "partition" => record.partition = whole("partition", &value)?,
                "topic" | "offset" => {}
                other => return Err(format!("a record has no field {other:?}")),
            }
        }
        Ok(record)
    }
}

/// Bytes in JSON: null, a string if they are UTF-8, else an object with base64.
pub(crate) fn json_bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(std::str::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => Value::from(text),
        Some(Err(_)) => json!({ "base64": STANDARD.encode(bytes.unwrap_or_default()) }),
    }
}

/// What [`json_bytes`] has written.
fn bytes(what: &str, value: Value) -> Result<Option<Vec<u8>>, String> {
    let expected = || format!("{what} is none of: null, a string, {{\"base64\":\"...\"}}");
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into_bytes())),
        Value::Object(object) if object.len() == 1 => {
            let text = object.get("base64").and_then(Value::as_str).ok_or_else(expected)?;
            STANDARD.decode(text).map(Some).map_err(|error| format!("{what}: {error}"))
        }
        _ => Err(expected()),
    }
}

fn headers(value: Value) -> Result<Headers, String> {
    let expected = "headers are pairs: [[name,value],...]";
    let Value::Array(pairs) = value else { return Err(expected.to_owned()) };
    let pair = |pair: Value| match pair {
        Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([Value::String(name), value]) => Ok((name, bytes("the value of a header", value)?)),
            _ => Err(expected.to_owned()),
        },
        _ => Err(expected.to_owned()),
    };
    pairs.into_iter().map(pair).collect()
}

fn whole<T: TryFrom<i64>>(what: &str, value: &Value) -> Result<Option<T>, String> {
    match value {
        Value::Null => Ok(None),
        value => match value.as_i64().map(T::try_from) {
            Some(Ok(number)) => Ok(Some(number)),
            _ => Err(format!("{what} is no whole number that it can be: {value}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_consume_prints_is_read() {
        let line = br#"{"topic":"t","partition":2,"offset":7,"timestamp":5,"key":null,"value":{"base64":"//4="},
            "headers":[["a",""],["n",null],["a",{"base64":"gA=="}]]}"#;
        let headers = [("a", Some(&b""[..])), ("n", None), ("a", Some(b"\x80"))];
        let expected = JsonRecord {
            key: None,
            value: Some(b"\xff\xfe".to_vec()),
            headers: headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).to_vec(),
            timestamp: Some(5),
            partition: Some(2),
        };
        assert_eq!(JsonRecord::parse(line), Ok(expected));
        assert_eq!(JsonRecord::parse(b"{}"), Ok(JsonRecord::default()));
    }

    #[test]
    fn what_is_no_record_is_told() {
        for (line, said) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("{\"value\":1}", "value is none of"),
            ("{\"value\":{\"base64\":\"?\"}}", "value: "),
            ("{\"value\":{\"base64\":\"\",\"x\":1}}", "value is none of"),
            ("{\"vlaue\":\"x\"}", "no field \"vlaue\""),
            ("{\"headers\":{}}", "headers are pairs"),
            ("{\"headers\":[[\"a\"]]}", "headers are pairs"),
            ("{\"headers\":[[\"a\",1]]}", "the value of a header"),
            ("{\"timestamp\":1.5}", "timestamp is no whole number"),
            ("{\"partition\":-1}", "partition is no whole number"),
        ] {
            let error = JsonRecord::parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
