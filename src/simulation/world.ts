/**
 * One small business, told the same way on every run: what the simulated systems hold between them. With a file,
 * every change is appended to it before it is visible, so that a killed process loses nothing.
 */

import { seedWorld } from './seed.ts'
import { WorldState } from './state.ts'

export type * from './state.ts'

export interface WorldOptions {
  /** Same seed and sizes, same world. Default 1. */
  readonly seed?: number
  /** Default 60. */
  readonly customers?: number
  /** Default 40. */
  readonly products?: number
  /** Default 240. */
  readonly orders?: number
  /** Which company of a group this is; customers and products written by hand are those of all. Default 0. */
  readonly company?: number
  /** What else has happened before the first day, in words of the simulation. */
  readonly before?: (world: WorldState) => void
  /** Where changes are kept over restarts; without it they live in memory only. */
  readonly file?: string
}

export class World extends WorldState {
  constructor(options: WorldOptions = {}) {
    super()
    seedWorld(this, {
      seed: options.seed ?? 1,
      customers: options.customers ?? 60,
      products: options.products ?? 40,
      orders: options.orders ?? 240,
      company: options.company ?? 0,
    })
    options.before?.(this)
    if (options.file) this.keepIn(options.file)
  }
}
