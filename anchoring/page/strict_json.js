// Strict JSON (as anchoring/strict_json.py): every member once, whole numbers only, not nested deep.

class StrictJson {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  static read(text) {
    const reader = new StrictJson(text);
    const value = reader.value(0);
    reader.skip();
    if (reader.at !== text.length) reader.refuse();
    return value;
  }

  refuse(reason = "not JSON") {
    throw new Failure("receipt", reason);
  }

  skip() {
    while (" \t\r\n".includes(this.text[this.at] || "x")) this.at++;
  }

  take(sign) {
    this.skip();
    if (this.text[this.at] !== sign) return false;
    this.at++;
    return true;
  }

  need(sign) {
    if (!this.take(sign)) this.refuse();
  }

  value(depth) {
    if (depth > 8) this.refuse("nested deeper than a receipt is");
    this.skip();
    const first = this.text[this.at];
    if (first === "{") return this.object(depth);
    if (first === "[") return this.array(depth);
    if (first === '"') return this.string();
    return this.plain();
  }

  object(depth) {
    const found = new Map();
    this.need("{");
    if (this.take("}")) return found;
    do {
      this.skip();
      const name = this.string();
      this.need(":");
      if (found.has(name)) this.refuse("a member is given twice");
      found.set(name, this.value(depth + 1));
    } while (this.take(","));
    this.need("}");
    return found;
  }

  array(depth) {
    const found = [];
    this.need("[");
    if (this.take("]")) return found;
    do found.push(this.value(depth + 1));
    while (this.take(","));
    this.need("]");
    return found;
  }

  string() {
    const match = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
    match.lastIndex = this.at;
    const found = match.exec(this.text);
    if (!found) this.refuse();
    this.at = match.lastIndex;
    return JSON.parse(found[0]);
  }

  plain() {
    const match = /(?:0|[1-9][0-9]{0,19})(?![0-9.eE+-])|true|false|null/y;
    match.lastIndex = this.at;
    const found = match.exec(this.text);
    if (!found) this.refuse();
    this.at = match.lastIndex;
    return /^[0-9]/.test(found[0]) ? BigInt(found[0]) : JSON.parse(found[0]);
  }
}

// The members of an object, if they are exactly these.
function exactly(value, names, what) {
  if (!(value instanceof Map)) throw new Failure("receipt", `${what} is not an object`);
  for (const name of names) {
    if (!value.has(name)) throw new Failure("receipt", `${what} lacks ${name}`);
  }
  if (value.size !== names.length) throw new Failure("receipt", `${what} has a member that is not known`);
  return Object.fromEntries(value);
}

function wholeNumber(value, what) {
  if (typeof value !== "bigint" || value >= 1n << 64n) {
    throw new Failure("receipt", `${what} is not an integer from 0 to 2**64 - 1`);
  }
  return value;
}

function textOf(value, what) {
  if (typeof value !== "string") throw new Failure("receipt", `${what} is not a string`);
  return value;
}

function textsOf(value, what, most) {
  if (!Array.isArray(value) || value.length > most || !value.every((each) => typeof each === "string")) {
    throw new Failure("receipt", `${what} is not an array of at most ${most} strings`);
  }
  return value;
}
