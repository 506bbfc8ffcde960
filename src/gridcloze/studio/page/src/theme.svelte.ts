// Light or dark: as the reader chose, as the page around us is, or as the system wants it.
export const theme = $state({ dark: false, chosen: null as boolean | null })

export function followSystem(): void {
  const system = matchMedia('(prefers-color-scheme: dark)')
  const update = () => {
    const [red, green, blue, opacity = 1] = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g)!.map(Number)
    theme.dark = theme.chosen ?? (opacity ? red! + 2 * green! + blue! < 512 : system.matches)
  }
  system.addEventListener('change', update)
  new MutationObserver(update).observe(document.documentElement, { attributes: true, subtree: false })
  new MutationObserver(update).observe(document.body, { attributes: true, subtree: false })
  update()
}

export function choose(dark: boolean): void {
  theme.dark = theme.chosen = dark
}
