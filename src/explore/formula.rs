//! Formulas over the series of a trend: `100 * B / A`.

/// An expression over the series. Letters are series: A is the first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Formula {
    Number(f64),
    Series(usize),
    Negated(Box<Formula>),
    Binary(Operator, Box<Formula>, Box<Formula>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A text that is not a formula.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFormula {
    #[error("formula: at character {0}: expected a series (A, B, ...), a number or a parenthesis")]
    Operand(usize),
    #[error("formula: at character {0}: expected +, -, *, / or the end")]
    Operator(usize),
    #[error("formula: the parenthesis that is opened at character {0} is not closed")]
    Unclosed(usize),
    #[error("formula: there is no series {0}; the query has {1}")]
    UnknownSeries(char, usize),
    #[error("formula: it is longer than {MAX_BYTES} bytes")]
    TooLong,
}

const MAX_BYTES: usize = 200;

impl Formula {
    /// Parses a formula over this many series.
    pub(crate) fn parse(text: &str, series: usize) -> Result<Self, InvalidFormula> {
        if text.len() > MAX_BYTES {
            return Err(InvalidFormula::TooLong);
        }
        let mut parser = Parser { text: text.as_bytes(), at: 0, series };
        let formula = parser.sum()?;
        match parser.peek() {
            None => Ok(formula),
            Some(_) => Err(InvalidFormula::Operator(parser.at + 1)),
        }
    }

    /// Its value. `None` if a series has none, and for what is not a number: a division by zero.
    pub(crate) fn evaluate(&self, series: &impl Fn(usize) -> Option<f64>) -> Option<f64> {
        let value = match self {
            Self::Number(number) => *number,
            Self::Series(index) => series(*index)?,
            Self::Negated(formula) => -formula.evaluate(series)?,
            Self::Binary(operator, left, right) => {
                let (left, right) = (left.evaluate(series)?, right.evaluate(series)?);
                match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide => left / right,
                }
            }
        };
        value.is_finite().then_some(value)
    }
}

/// Recursive descent. The length of the text bounds the depth.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    series: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn sum(&mut self) -> Result<Formula, InvalidFormula> {
        let mut formula = self.product()?;
        loop {
            let operator = match self.peek() {
                Some(b'+') => Operator::Add,
                Some(b'-') => Operator::Subtract,
                _ => return Ok(formula),
            };
            self.at += 1;
            formula = Formula::Binary(operator, Box::new(formula), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Formula, InvalidFormula> {
        let mut formula = self.operand()?;
        loop {
            let operator = match self.peek() {
                Some(b'*') => Operator::Multiply,
                Some(b'/') => Operator::Divide,
                _ => return Ok(formula),
            };
            self.at += 1;
            formula = Formula::Binary(operator, Box::new(formula), Box::new(self.operand()?));
        }
    }

    fn operand(&mut self) -> Result<Formula, InvalidFormula> {
        let expected = InvalidFormula::Operand(self.at + 1);
        match self.peek() {
            Some(b'-') => {
                self.at += 1;
                Ok(Formula::Negated(Box::new(self.operand()?)))
            }
            Some(b'(') => {
                let opened = self.at + 1;
                self.at += 1;
                let formula = self.sum()?;
                if self.peek() != Some(b')') {
                    return Err(InvalidFormula::Unclosed(opened));
                }
                self.at += 1;
                Ok(formula)
            }
            Some(letter @ b'A'..=b'Z') => {
                let index = usize::from(letter - b'A');
                if index >= self.series {
                    return Err(InvalidFormula::UnknownSeries(char::from(letter), self.series));
                }
                self.at += 1;
                Ok(Formula::Series(index))
            }
            Some(b'0'..=b'9' | b'.') => {
                let digits = self.text[self.at..].iter();
                let length = digits.take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
                let number = std::str::from_utf8(&self.text[self.at..self.at + length]).ok();
                let number = number.and_then(|number| number.parse().ok()).ok_or(expected)?;
                self.at += length;
                Ok(Formula::Number(number))
            }
            _ => Err(InvalidFormula::Operand(self.at + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, series: &[Option<f64>]) -> Option<f64> {
        Formula::parse(text, series.len()).unwrap().evaluate(&|index| series[index])
    }

    #[test]
    fn formulas_have_the_usual_precedence() {
        let series = [Some(8.0), Some(2.0), None];
        for (text, expected) in [
            ("A", 8.0),
            ("100 * B / A", 25.0),
            ("A - B - B", 4.0),
            ("A - (B - B)", 8.0),
            ("A + B * 3", 14.0),
            ("A / B / 2", 2.0),
            ("-A + -(B)", -10.0),
            (" ( A+B )*.5", 5.0),
        ] {
            assert_eq!(value(text, &series), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_no_value() {
        assert_eq!(value("A / B", &[Some(1.0), Some(0.0)]), None);
        assert_eq!(value("A / B", &[Some(0.0), Some(0.0)]), None);
        assert_eq!(value("A + B", &[Some(1.0), None]), None);
    }

    #[test]
    fn invalid_formulas_are_located() {
        let message = |text: &str| Formula::parse(text, 2).unwrap_err().to_string();
        assert!(message("").contains("at character 1: expected a series"));
        assert!(message("A +").contains("at character 4: expected a series"));
        assert!(message("A B").contains("at character 3: expected +, -"));
        assert!(message("A + (B").contains("opened at character 5 is not closed"));
        assert!(message("C").contains("there is no series C; the query has 2"));
        assert!(message("1.2.3").contains("at character 1"));
        assert!(message(&"A+".repeat(200)).contains("longer than 200 bytes"));
        assert!(Formula::parse(&format!("{}A{}", "(".repeat(99), ")".repeat(99)), 1).is_ok());
    }
}
