// Stands here until the engine does.
import type { Puzzle } from '../backend'

export function windowMarginals(_prior: string, _puzzle: Puzzle, _size: number): Float32Array | Promise<Float32Array> {
  throw new Error('this build has no engine')
}
