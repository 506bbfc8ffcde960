// Numbers as people read them.
export const probability = (value: number): string =>
  value > 0 && value < 0.001 ? '< 0.001' : value < 1 && value > 0.999 ? '> 0.999' : value.toFixed(3)

export const bits = (value: number): string => (value === 0 ? '0' : Math.abs(value) < 10 ? value.toFixed(value < 0.1 ? 4 : 2) : value.toFixed(1)).replace('-', '−')

export const place = (cell: number, width: number): string => `row ${Math.floor(cell / width)}, column ${cell % width}`
