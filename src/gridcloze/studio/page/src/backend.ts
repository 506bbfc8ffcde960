export interface Symbol { name: string; character: string; colour: string }           // colour "#rrggbb"
export interface Model {
  id: string; name: string; height: number; width: number; symbols: Symbol[];
  window: [number, number] | null;       // fills larger grids window by window; the browser does whole grids up to this
  prior: string | null;                  // "squares 16x16 3..12" if the exact posterior is known to the page
  side: string[];                        // the names of its side maps, in order
  side_classes: number[][];              // the values of each; none for a map of numbers
  training: Record<string, unknown>;     // what `gridcloze info --json` says
}
export interface Puzzle { height: number; width: number; cells: Int16Array; side?: SideMaps } // row by row; -1 = hidden
export type SideMaps = ReadonlyMap<string, Float32Array> // what is known besides, by name: of every cell, NaN = unknown
export interface Options { seed: number; refine?: number; onProgress?: (share: number) => void; signal?: AbortSignal }
export interface Sample { cells: Int16Array; logProbBits: number; passes: Pass[] }       // log2 probability; NaN if refined
export interface Pass { revealed: Int32Array; symbols: Int16Array; bits: number }        // in the order of filling
export interface Backend {
  readonly kind: 'browser' | 'server';
  models(): Promise<Model[]>;
  open(file: File): Promise<Model>;                                                      // browser only; rejects otherwise
  marginals(model: Model, puzzle: Puzzle, options: Options): Promise<Float32Array>;       // height*width*symbols
  sample(model: Model, puzzle: Puzzle, n: number, options: Options): Promise<Sample[]>;
  mostLikely(model: Model, puzzle: Puzzle, options: Options): Promise<Sample>;            // play uses its passes, or a sample's
  influence(model: Model, puzzle: Puzzle, cell: number, options: Options): Promise<Float32Array>; // bits by visible cell, for one hidden cell
  attention(model: Model, puzzle: Puzzle, options: Options): Promise<{ layers: number; heads: number; patches: [number, number]; patch: number; weights: Float32Array }>;
  exact(model: Model, puzzle: Puzzle): Promise<Float32Array | null>;                      // exact posterior, null if not known
}
