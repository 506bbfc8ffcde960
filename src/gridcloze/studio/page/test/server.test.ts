import { afterEach, expect, test, vi } from 'vitest'
import type { Model } from '../src/backend'
import { sheetOf } from '../src/grid'
import { ServerBackend } from '../src/server'

const model = { id: 'squares', prior: null, side: [] as string[] } as Model, puzzle = sheetOf(1, 2, [0, -1])
const stream = (...parts: string[]) => new Response(new ReadableStream({ start(controller) {
  for (const part of parts) controller.enqueue(new TextEncoder().encode(part))
  controller.close()
} }), { headers: { 'content-type': 'application/x-ndjson' } })
const answering = (response: Response | Error) => vi.stubGlobal('fetch', vi.fn(async () => { if (response instanceof Error) throw response; return response }))
afterEach(() => vi.unstubAllGlobals())

test('progress comes as lines, however they are cut, and the last one is the answer', async () => {
  answering(stream('{"progress": 0.25}\n{"pro', 'gress": 0.5}\n', '{"result": {"marginals": [[[1, 0], [0.25, 0.75]]]}}'))
  const shares: number[] = []
  const marginals = await new ServerBackend('secret').marginals(model, puzzle, { seed: 3, onProgress: (share) => shares.push(share) })
  expect([...marginals]).toEqual([1, 0, 0.25, 0.75])
  expect(shares).toEqual([0.25, 0.5])
  const [path, question] = vi.mocked(fetch).mock.calls[0]!
  expect(path).toBe('/api/models/squares/marginals')
  expect(question).toMatchObject({ method: 'POST', headers: { Authorization: 'Bearer secret' } })
  expect(JSON.parse(question!.body as string)).toEqual({ cells: [[0, -1]], seed: 3 })
})

test('plain JSON is an answer too, and samples keep their passes', async () => {
  answering(Response.json({ samples: [[[0, 1]]], log2_probability: [-1.5], passes: [[{ revealed: [1], symbols: [1], bits: 0.5 }]] }))
  const [sample] = await new ServerBackend('secret').sample(model, puzzle, 1, { seed: 0, refine: 2 })
  expect(JSON.parse(vi.mocked(fetch).mock.calls[0]![1]!.body as string)).toMatchObject({ samples: 1, refine: 2 })
  expect(sample).toEqual({ cells: Int16Array.of(0, 1), logProbBits: -1.5, passes: [{ revealed: Int32Array.of(1), symbols: Int16Array.of(1), bits: 0.5 }] })
})

test.each([
  [Response.json({ error: 'row 0: no such symbol' }, { status: 422 }), 'row 0: no such symbol'],
  [new Response('', { status: 401 }), 'This address has expired: open the one that `gridcloze studio` printed.'],
  [stream('{"error": "contradiction"}\n'), 'contradiction'],
  [stream('{"progress": 0.5}\n'), 'The server stopped before it was done. Ask again; if that happens twice, look at its log.'],
  [new TypeError('failed to fetch'), 'The server does not answer. Start it again with `gridcloze studio`, and open the address it prints.'],
])('what goes wrong is one line (%#)', async (response, line) => {
  answering(response)
  await expect(new ServerBackend('secret').mostLikely(model, puzzle, { seed: 0 })).rejects.toThrow(line)
})
