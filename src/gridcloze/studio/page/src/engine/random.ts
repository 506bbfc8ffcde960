/** NumPy's `default_rng`, and the streams that Python names: the same seed gives the same fills as the command line. */

const BITS_64 = (1n << 64n) - 1n
const BITS_128 = (1n << 128n) - 1n
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n
const INITIAL = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
]
const SIGMA = [
  '0123456789abcdef', 'ea489fd61c02b753', 'b8c052fdae367194', '7931dcbe265a40f8', '905724afe1bc683d',
  '2c6a0b834d75fe19', 'c51fed4a0763928b', 'db7ec13950f4862a', '6fe9b308c2d714a5', 'a2847615fb9e3cd0',
].map((row) => [...row].map((digit) => parseInt(digit, 16)))

export type Stream = number[] // what a stream of random numbers is seeded with

/** Uniform numbers 0 … 1 of a stream, by their place in it: most are never looked at. */
export class Uniforms {
  private readonly state: bigint
  private readonly increment: bigint

  constructor(stream: Stream) {
    const [high, low, incrementHigh, incrementLow] = seedWords(stream)
    this.increment = ((((incrementHigh! << 64n) | incrementLow!) << 1n) | 1n) & BITS_128
    const start = (this.increment + ((high! << 64n) | low!)) & BITS_128
    this.state = (start * MULTIPLIER + this.increment) & BITS_128
  }

  /** The number that the call after `place` others of `Generator.random` returns. */
  at(place: number): number {
    return toUniform(this.advanced(place + 1))
  }

  /** The first numbers. */
  first(count: number): Float64Array {
    let state = this.state
    return Float64Array.from({ length: count }, () => {
      state = (state * MULTIPLIER + this.increment) & BITS_128
      return toUniform(state)
    })
  }

  private advanced(steps: number): bigint {
    let state = this.state
    for (let power = 0; steps > 0; power++, steps = Math.floor(steps / 2)) {
      if (steps % 2) state = (state * jump(power)[0] + jump(power)[1] * this.increment) & BITS_128
    }
    return state
  }
}

const jumps: [bigint, bigint][] = [[MULTIPLIER, 1n]]

/** What 2^power steps of PCG64 multiply the state and the increment by (Brown 1994, random numbers with skips). */
function jump(power: number): [bigint, bigint] {
  while (jumps.length <= power) {
    const [factor, sum] = jumps[jumps.length - 1]!
    jumps.push([(factor * factor) & BITS_128, (sum * (factor + 1n)) & BITS_128])
  }
  return jumps[power]!
}

function toUniform(state: bigint): number {
  const mixed = ((state >> 64n) ^ state) & BITS_64
  const turn = state >> 122n
  const turned = ((mixed >> turn) | (mixed << ((64n - turn) & 63n))) & BITS_64
  return Number(turned >> 11n) / 2 ** 53
}

/** NumPy's SeedSequence: four words of 64 bits from any integers. */
function seedWords(stream: Stream): bigint[] {
  const entropy = stream.flatMap(wordsOf)
  let hash = 0x43b0d7e5
  const hashed = (word: number) => {
    const before = word ^ hash
    hash = Math.imul(hash, 0x931e8875)
    return folded(Math.imul(before, hash))
  }
  const mixed = (one: number, other: number) => folded(Math.imul(0xca01f9dd, one) - Math.imul(0x4973f715, other))
  const pool = [0, 1, 2, 3].map((place) => hashed(entropy[place] ?? 0))
  for (let from = 0; from < Math.max(4, entropy.length); from++) {
    for (let to = 0; to < 4; to++) {
      if (from !== to) pool[to] = mixed(pool[to]!, hashed(from < 4 ? pool[from]! : entropy[from]!))
    }
  }
  hash = 0x8b51f9dd
  const words = Array.from({ length: 8 }, (_, place) => {
    const before = pool[place % 4]! ^ hash
    hash = Math.imul(hash, 0x58f38ded)
    return folded(Math.imul(before, hash))
  })
  return [0, 2, 4, 6].map((place) => BigInt(words[place]!) | (BigInt(words[place + 1]!) << 32n))
}

function folded(word: number): number {
  return (word ^ (word >>> 16)) >>> 0
}

function wordsOf(number: number): number[] {
  return number < 2 ** 32 ? [number] : [number % 2 ** 32, ...wordsOf(Math.floor(number / 2 ** 32))]
}

/** The streams of some samples of a puzzle: those of `Puzzles.streams`. */
export function streamsOf(cells: Int16Array, seed: number, samples: number): Stream[] {
  const digest = blake2b(new Uint8Array(cells.buffer, cells.byteOffset, cells.byteLength))
  const name = [...new Uint32Array(digest.buffer)]
  return Array.from({ length: samples }, (_, sample) => [seed, ...name, 0, sample])
}

/** BLAKE2b with a digest of 16 bytes (RFC 7693). */
export function blake2b(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const state = BigUint64Array.from(INITIAL)
  state[0]! ^= 0x01010010n
  const blocks = Math.max(1, Math.ceil(data.length / 128))
  for (let block = 0; block < blocks; block++) {
    const padded = new Uint8Array(128)
    padded.set(data.subarray(128 * block, 128 * (block + 1)))
    compress(state, new BigUint64Array(padded.buffer), Math.min(data.length, 128 * (block + 1)), block === blocks - 1)
  }
  return new Uint8Array(state.buffer, 0, 16).slice()
}

function compress(state: BigUint64Array, message: BigUint64Array, count: number, last: boolean): void {
  const work = BigUint64Array.from([...state, ...INITIAL])
  work[12]! ^= BigInt(count)
  if (last) work[14]! ^= BITS_64
  const turned = (value: bigint, by: bigint) => (value >> by) | (value << (64n - by)) // cut to 64 bits where stored
  const mix = (a: number, b: number, c: number, d: number, one: bigint, other: bigint) => {
    for (const [word, turnD, turnB] of [[one, 32n, 24n], [other, 16n, 63n]] as const) {
      work[a] = work[a]! + work[b]! + word
      work[d] = turned(work[d]! ^ work[a]!, turnD)
      work[c] = work[c]! + work[d]!
      work[b] = turned(work[b]! ^ work[c]!, turnB)
    }
  }
  for (let round = 0; round < 12; round++) {
    const order = SIGMA[round % 10]!
    for (let part = 0; part < 8; part++) {
      const [column, shift] = [part % 4, part < 4 ? 0 : 1]
      const [b, c, d] = [1, 2, 3].map((row) => 4 * row + ((column + row * shift) % 4)) as [number, number, number]
      mix(column, b, c, d, message[order[2 * part]!]!, message[order[2 * part + 1]!]!)
    }
  }
  for (let place = 0; place < 8; place++) state[place]! ^= work[place]! ^ work[place + 8]!
}
