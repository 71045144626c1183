// JSON as it was sent, in lines of coloured tokens. It is not parsed into values: numbers keep every digit, and a text that is
// cut or invalid is shown as far as it goes.

export type TokenKind = "key" | "string" | "number" | "literal" | "punctuation" | "text";

export interface Token {
  kind: TokenKind;
  text: string;
}

export interface JsonLine {
  indent: number;
  tokens: Token[];
  /** The keys that lead to the value of this line. */
  path: string[];
  /** The value as JSON, if it is a string, a number, true, false or null, and has a key. */
  value?: string;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\],:]|\s+/sy;

/** The tokens of a text. What is not JSON is one token at the end. */
export function* tokenize(text: string): Generator<Token> {
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text)?.[0];
    if (found === undefined) {
      yield { kind: "text", text: text.slice(at) };
      return;
    }
    at += found.length;
    if (found.trim() !== "") yield { kind: kindOf(found), text: found };
  }
}

function kindOf(text: string): TokenKind {
  const first = text[0] ?? "";
  if (first === '"') return "string";
  if (first === "-" || (first >= "0" && first <= "9")) return "number";
  return /[a-z]/.test(first) ? "literal" : "punctuation";
}

const CLOSING: Record<string, string> = { "{": "}", "[": "]" };
const isScalar = ({ kind }: Token) => kind === "string" || kind === "number" || kind === "literal";

/** Pretty-printed with an indent per level. */
export function jsonLines(text: string): JsonLine[] {
  const tokens = [...tokenize(text)];
  const lines: JsonLine[] = [];
  /** Open objects and arrays: the key that each was found under, or its place in an array. */
  const open: { bracket: string; key: string | undefined }[] = [];
  let key: string | undefined;
  let line: JsonLine | undefined;
  const pathTo = (last?: string) =>
    [...open.map((level) => level.key), last].filter((name): name is string => name !== undefined);
  const current = () => {
    line ??= { indent: open.length, tokens: [], path: pathTo(key) };
    return line;
  };
  const end = () => {
    if (line) lines.push(line);
    line = undefined;
  };
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1];
    const inObject = open.at(-1)?.bracket === "{";
    if (token.text in CLOSING && token.kind === "punctuation") {
      current().tokens.push(token);
      if (next?.text === CLOSING[token.text]) continue;
      end();
      open.push({ bracket: token.text, key });
      key = undefined;
    } else if (token.text === "}" || token.text === "]") {
      const before = tokens[index - 1];
      if (before?.kind === "punctuation" && CLOSING[before.text] === token.text) {
        current().tokens.push(token);
        continue;
      }
      end();
      open.pop();
      key = undefined;
      current().tokens.push(token);
    } else if (token.text === ",") {
      current().tokens.push(token);
      end();
      key = undefined;
    } else if (token.text === ":") {
      current().tokens.push(token);
    } else if (inObject && token.kind === "string" && next?.text === ":") {
      end();
      key = unquote(token.text);
      current().tokens.push({ kind: "key", text: token.text });
    } else {
      const target = current();
      target.tokens.push(token);
      if (isScalar(token) && key !== undefined) target.value = token.text;
    }
  }
  end();
  return lines;
}

/** The text of a JSON string. A broken escape is left as it is. */
export function unquote(json: string): string {
  try {
    return String(JSON.parse(json));
  } catch {
    return json.slice(1, -1);
  }
}

/** The text that a filter compares a value with: of a string the string, of another value its JSON. */
export const textOf = (json: string): string => (json.startsWith('"') ? unquote(json) : json);

/** The first scalar values at the top level of an object, as JSON. */
export function topLevelValues(text: string, limit: number): [key: string, json: string][] {
  const values: [string, string][] = [];
  let depth = 0;
  let key: string | undefined;
  let last: Token | undefined;
  for (const token of tokenize(text)) {
    if (token.kind === "punctuation" && token.text in CLOSING) depth += 1;
    else if (token.text === "}" || token.text === "]") depth -= 1;
    else if (depth === 1 && token.text === ":" && last?.kind === "string") key = unquote(last.text);
    else if (depth === 1 && isScalar(token) && last?.text === ":" && key !== undefined) {
      values.push([key, token.text]);
      if (values.length >= limit) break;
    }
    last = token;
  }
  return values;
}
