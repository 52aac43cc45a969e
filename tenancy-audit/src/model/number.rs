//! JSON numbers in one form.

use serde_json::Number;

/// How long the text of a number may be, and how large its exponent: what Postgres' `numeric`
/// holds with room to spare, and more than any 64-bit float needs.
const MAX_TEXT: usize = 400;

/// The number as `[-]digits e exponent`, without zeros at either end of the digits.
///
/// `1`, `1.0` and `1e0` are one number and give one text, whatever the database or the parser made
/// of it in between.
pub(crate) fn normal(number: &Number) -> String {
    let text = number.to_string();
    decimal(&text).unwrap_or(text)
}

/// The same of the text of a whole number that any parser takes exactly; `None` of any other text.
pub(crate) fn normal_integer(text: &str) -> Option<String> {
    const MAX_DIGITS: usize = 18;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty()
        && digits.len() <= MAX_DIGITS
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| decimal(text)).flatten()
}

/// Whether the database can hold it.
pub(crate) fn is_storable(number: &Number) -> bool {
    if number.is_i64() || number.is_u64() {
        return true;
    }
    is_short(&number.to_string())
}

/// No float is longer; a number of a host that has switched on `arbitrary_precision` of `serde_json` may be.
fn is_short(text: &str) -> bool {
    text.len() <= MAX_TEXT && exponent(text).is_some_and(|e| e.unsigned_abs() <= MAX_TEXT as u64)
}

/// Whether a number is read as what its text says.
pub(crate) fn is_exact(text: &str) -> bool {
    let read = serde_json::from_str::<Number>(text);
    read.is_ok_and(|number| decimal(text).is_some_and(|said| said == normal(&number)))
}

fn exponent(text: &str) -> Option<i64> {
    text.split_once(['e', 'E'])
        .map_or(Some(0), |(_, exponent)| exponent.parse().ok())
}

fn decimal(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return Some("0e0".to_owned());
    }
    let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
    let fraction = i64::try_from(fraction.len()).ok()?;
    let exponent = exponent(text)?
        .checked_sub(fraction)?
        .checked_add(dropped)?;
    Some(format!("{sign}{kept}e{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &serde_json::Value) -> String {
        normal(value.as_number().unwrap())
    }

    #[test]
    fn one_number_has_one_form() {
        for (value, form) in [
            (json!(0), "0e0"),
            (json!(-0.0), "0e0"),
            (json!(1), "1e0"),
            (json!(1.0), "1e0"),
            (json!(100), "1e2"),
            (json!(1e2), "1e2"),
            (json!(-12.5), "-125e-1"),
            (json!(1e16), "1e16"),
            (json!(10_000_000_000_000_000_u64), "1e16"),
            (json!(1e-7), "1e-7"),
            (json!(u64::MAX), "18446744073709551615e0"),
            (json!(i64::MIN), "-9223372036854775808e0"),
            (json!(0.1 + 0.2), "30000000000000004e-17"),
        ] {
            assert_eq!(of(&value), form, "{value}");
        }
    }

    #[test]
    fn a_whole_number_has_the_same_form_without_being_parsed() {
        for text in ["0", "-0", "7", "-120", "999999999999999999"] {
            let parsed: Number = serde_json::from_str(text).unwrap();
            assert_eq!(normal_integer(text), Some(normal(&parsed)), "{text}");
        }
        for text in [
            "",
            "-",
            "01",
            "+1",
            "1.0",
            "1e3",
            "1234567890123456789",
            "--1",
            "1-",
        ] {
            assert_eq!(normal_integer(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_that_is_too_long_or_too_large_is_not_storable() {
        let digits = |count| "7".repeat(count);
        for text in ["1", "-1.5", "1e400", "1E-400", &digits(400)] {
            assert!(is_short(text), "{text}");
        }
        for text in [
            "1e401",
            "-1e-401",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1e",
            &digits(401),
            &format!("0.{}1", "0".repeat(400)),
            &digits(10 << 20),
        ] {
            assert!(!is_short(text), "{text:.40}");
        }
    }

    #[test]
    fn the_largest_and_smallest_floats_are_storable() {
        for value in [f64::MAX, f64::MIN_POSITIVE, 5e-324] {
            assert!(is_storable(json!(value).as_number().unwrap()));
        }
    }
}
