// The wire format of protobuf. The library's own reader and writer also know what the contract does not use.

export const VARINT = 0;
export const BIT64 = 1;
export const LENGTH_DELIMITED = 2;
const BIT32 = 5;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Throws where the bytes end too early. */
export class Reader {
  pos = 0;
  readonly len: number;
  private readonly view: DataView;
  /** Upper half of the last number. */
  private high = 0;

  constructor(private readonly buffer: Uint8Array) {
    this.len = buffer.length;
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  }

  /** Lower half of a number of 64 bits. The upper one is in `high`. */
  private varint(): number {
    let low = 0;
    this.high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.view.getUint8(this.pos++);
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      if (shift === 28) this.high = bits >> 4;
      else if (shift > 28) this.high |= bits << (shift - 32);
      if (byte < 0x80) return low;
    }
    throw new Error("a number has more than 64 bits");
  }

  /** Moves behind the next bytes. */
  private advance(length: number): number {
    const start = this.pos;
    if (start + length > this.len) throw new RangeError("the message ends within a field");
    this.pos += length;
    return start;
  }

  tag(): [number: number, wireType: number] {
    const tag = this.uint32();
    if (tag < 8) throw new Error("a field has no number");
    return [tag >>> 3, tag & 7];
  }

  skip(wireType: number): void {
    if (wireType === VARINT) this.varint();
    else if (wireType === BIT64) this.advance(8);
    else if (wireType === LENGTH_DELIMITED) this.bytes();
    else if (wireType === BIT32) this.advance(4);
    else throw new Error(`a field has the unknown wire type ${wireType}`);
  }

  bool(): boolean {
    return this.varint() !== 0 || this.high !== 0;
  }

  int32(): number {
    return this.varint() | 0;
  }

  uint32(): number {
    return this.varint() >>> 0;
  }

  int64(): bigint {
    return wide(this.varint(), this.high);
  }

  uint64(): bigint {
    return wide(this.varint(), this.high >>> 0);
  }

  double(): number {
    return this.view.getFloat64(this.advance(8), true);
  }

  string(): string {
    return decoder.decode(this.bytes());
  }

  bytes(): Uint8Array {
    const length = this.uint32();
    const start = this.advance(length);
    return this.buffer.subarray(start, start + length);
  }
}

const wide = (low: number, high: number): bigint =>
  high === 0 ? BigInt(low >>> 0) : (BigInt(high) << 32n) | BigInt(low >>> 0);

/** Requests are small: their bytes are collected one by one. */
export class Writer {
  private bytesOf: number[] = [];
  private readonly outer: number[][] = [];

  private varint(value: number): this {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.bytesOf.push((rest & 0x7f) | 0x80);
    this.bytesOf.push(rest);
    return this;
  }

  private append(bytes: ArrayLike<number>): this {
    for (let index = 0; index < bytes.length; index += 1) this.bytesOf.push(bytes[index] as number);
    return this;
  }

  tag(number: number, wireType: number): this {
    return this.varint(((number << 3) | wireType) >>> 0);
  }

  /** What follows until `join` is one field, whose length is written before it. */
  fork(): this {
    this.outer.push(this.bytesOf);
    this.bytesOf = [];
    return this;
  }

  join(): this {
    const inner = this.bytesOf;
    this.bytesOf = this.outer.pop() as number[];
    return this.varint(inner.length).append(inner);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.bytesOf);
  }

  bool(value: boolean): this {
    return this.varint(value ? 1 : 0);
  }

  uint32(value: number): this {
    if (value !== value >>> 0) throw new RangeError(`${value} is not a number of 32 bits without a sign`);
    return this.varint(value);
  }
  int32(value: number): this {
    if (value !== (value | 0)) throw new RangeError(`${value} is not a number of 32 bits`);
    return value < 0 ? this.int64(BigInt(value)) : this.varint(value);
  }
  int64(value: bigint): this {
    let rest = BigInt.asUintN(64, value);
    for (; rest > 0x7fn; rest >>= 7n) this.bytesOf.push(Number(rest & 0x7fn) | 0x80);
    this.bytesOf.push(Number(rest));
    return this;
  }
  uint64(value: bigint): this {
    return this.int64(value);
  }
  double(value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    return this.append(bytes);
  }
  bytes(value: Uint8Array): this {
    return this.varint(value.length).append(value);
  }

  string(value: string): this {
    return this.bytes(encoder.encode(value));
  }
}
