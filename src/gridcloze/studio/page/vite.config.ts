import { readFile, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { rolldown } from 'rolldown'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

const ORT = 'node_modules/onnxruntime-web/dist'
const BUILT = '../built'
const WORKER = 'virtual:worker'

/** One classic script: that is what a page and a worker from a file may run. */
async function bundled(input: string, name: string): Promise<string> {
  const bundle = await rolldown({ input, transform: { define: { 'import.meta.url': 'self.location.href' } } })
  return (await bundle.generate({ format: 'iife', name, minify: true })).output[0].code
}

/** The text of a script that stands inside of a page. */
const inside = (script: string) => script.replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--')

/** The script of the worker as a module, and beside the served page the runtime and one file with everything. */
function studio(): Plugin {
  return {
    name: 'studio',
    resolveId: (id) => (id === WORKER ? `\0${WORKER}` : null),
    load: async (id) =>
      id === `\0${WORKER}` ? `export default ${JSON.stringify(await bundled('src/engine/worker.ts', 'studio'))}` : null,
    transformIndexHtml: { order: 'post', handler: (html) => html.replaceAll('type="module" crossorigin', 'defer') },
    async writeBundle(_, bundle) {
      const wasm = gzipSync(await readFile(`${ORT}/ort-wasm-simd-threaded.wasm`), { level: 9 }).toString('base64')
      const script = await bundled('src/engine/ort.ts', 'ort')
      const runtime = `globalThis.gridclozeRuntime = ${JSON.stringify({ script, wasm })};\n`
      await writeFile(`${BUILT}/assets/runtime.js`, runtime)
      let html = await readFile(`${BUILT}/index.html`, 'utf8')
      for (const file of Object.values(bundle)) {
        if (file.type === 'chunk') {
          html = html.replace(new RegExp(` *<script defer src="[^"]*${file.fileName}"></script>\n`), '')
          html = html.replace('</body>', () => `<script>${inside(runtime)}</script>\n<script>${inside(file.code)}</script>\n</body>`)
        } else if (file.fileName.endsWith('.css')) {
          const link = new RegExp(`<link[^>]*${file.fileName}"[^>]*>`)
          html = html.replace(link, () => `<style>${String(file.source)}</style>`)
        }
      }
      if (/(src|href)="\.?\//.test(html)) this.error('single.html still refers to other files')
      await writeFile(`${BUILT}/single.html`, html)
    },
  }
}

export default defineConfig({
  base: './',
  plugins: [svelte({ configFile: false }), studio()],
  build: {
    outDir: BUILT,
    target: 'es2024',
    emptyOutDir: true,
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        format: 'iife',
        codeSplitting: false,
        entryFileNames: 'assets/page.js',
        assetFileNames: 'assets/[name][extname]',
      },
    },
  },
  test: { environment: 'node', include: ['test/**/*.test.ts'] },
})
