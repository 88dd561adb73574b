/** What a kind tells the contract suite of itself: how to start it, which records it has, what it can do. */
import type { Simulator } from '../../src/simulation/server.ts'
import type { World, WorldOptions } from '../../src/simulation/world.ts'
import type { Key, RecordType } from '../../src/systems/records.ts'

export type Settings = Readonly<Record<string, unknown>>

/** Keys of records that the seed makes, and one that no record has. */
export type SampleKeys = { readonly [T in RecordType]?: Samples }

export interface Samples {
  readonly there: readonly [Key, Key, ...Key[]]
  readonly missing: Key
}

export interface Subject<S extends Simulator = Simulator> {
  readonly start: (world: World) => Promise<S>
  /** As they stand in the configuration file; credentials included, which the kind's schema marks as secret. */
  readonly settings: (url: string) => Settings
  /** Default: 10 customers, 10 products, 12 orders. */
  readonly world?: WorldOptions
  /** Adds what the seed lacks. */
  readonly prepare?: (world: World) => void
  /** Every record type that the adapter has a port for, under `settings`. */
  readonly samples: SampleKeys

  /** Reads that are one request to the system, for faults and for counting. */
  readonly reads: {
    readonly type: RecordType
    /** A regular expression on `METHOD /path` of such a read, and of nothing else that reading needs. */
    readonly request: string
    /** The same in `calls`, where the simulator names calls otherwise. */
    readonly call?: string
    /** Calls that all sample keys and the missing one cost together, under these settings. */
    readonly cut: { readonly settings: Settings; readonly calls: number }
    /** Whether this vendor could say so that there is nothing. */
    readonly isNothing?: (body: string) => boolean
    /** A vendor's error that carries these words in the form that its errors have. */
    readonly refusal: (words: string) => { readonly status: number; readonly body: string }
    /** Answers are XML: declarations and entities in them are tried. */
    readonly xml?: true
  }

  /** Absent: every request carries the credentials themselves. */
  readonly login?: {
    /** A regular expression on `calls`. */
    readonly request: string
    /** As `request`; absent: the vendor knows no logout. */
    readonly logout?: string
    /** With these settings it has so many sessions at most, each for one request at a time. */
    readonly sessions?: { readonly settings: Settings; readonly most: number }
    /** Ends all sessions that there are, or lets the next read meet an ended one. */
    readonly expire: (simulator: S) => void
  }
  /** Laid over `settings`; the system refuses them. */
  readonly wrongCredentials: (settings: Settings) => Settings

  /** Adds the n-th further record (n from 0), as somebody at the system would. @returns its key */
  readonly insert: { readonly [T in RecordType]?: (world: World, n: number) => Key }
  /** Changes the record, as somebody at the system would. */
  readonly touch: { readonly [T in RecordType]?: (world: World, key: Key) => void }

  /** A free text of a record. `put` stores it as the vendor would hold it. */
  readonly text: {
    readonly type: RecordType
    readonly put: (world: World, text: string) => Key
    /** Where it stands in our record. */
    readonly at: string
  }
  /** A record under this key, as long as a 64-bit number. Absent: keys are the vendor's own, and short. */
  readonly longKey?: { readonly type: RecordType; readonly put: (world: World, digits: string) => Key }
  /** An amount or quantity. `digits`: decimals that the vendor keeps. Absent: there is none. */
  readonly decimal?: {
    readonly type: RecordType
    readonly put: (world: World, decimal: string) => Key
    readonly at: string
    readonly digits: number
  }
  /** What the seed says of some amounts; yen among them where the vendor has currencies. */
  readonly money: readonly {
    readonly type: RecordType
    readonly key: Key
    readonly at: string
    readonly amount: string
    readonly currency: string
  }[]
  /** An instant that the seed gives, in UTC; `digits` of its text are what the vendor keeps. */
  readonly time?: {
    readonly type: RecordType
    readonly key: Key
    readonly at: string
    readonly instant: string
  }
  /** Where the vendor's stamps say no offset: settings that put its wall clock there. */
  readonly zone?: (offset: string) => Settings

  /** Absent: nothing can be created. */
  readonly create?: {
    readonly type: RecordType
    readonly settings?: Settings
    readonly input: unknown
    /** The vendor refuses the same reference twice: not finding it is proof that it is not there. */
    readonly unique: boolean
    /** How many such records there are. */
    readonly count: (world: World) => number
    /** A regular expression on `METHOD /path` of the request that makes it. */
    readonly request: string
    /** A free text that goes in with it. */
    readonly text?: {
      readonly input: (text: string) => unknown
      readonly stored: (world: World, key: Key) => string | null | undefined
    }
  }
  /** A write with `expectedVersion`. Absent: the vendor has no versions to compare. */
  readonly versioned?: {
    readonly type: RecordType
    readonly settings?: Settings
    readonly key: Key
    /** `update` with these changes, or the action of that name. */
    readonly write: { readonly update: unknown } | { readonly action: string }
    /** How many times it has been done. */
    readonly done: (world: World) => boolean
  }
}

/** For the type checker: each subject knows its own simulator, the suite needs to know only that it is one. */
export const subject = <S extends Simulator>(of: Subject<S>): Subject => of as unknown as Subject
