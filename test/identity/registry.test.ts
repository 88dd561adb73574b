import { describe, expect, it, vi } from 'vitest'
import { decodeId, encodeId } from '../../src/identity/ids.ts'
import { readLinks } from '../../src/identity/links.ts'
import { normaliseMatch } from '../../src/identity/observe.ts'
import { createIdentityRegistry, type ObservedRecord } from '../../src/identity/registry.ts'
import type { Store } from '../../src/store/store.ts'
import { places } from '../store/stores.ts'

const id = (system: string, key: string) => encodeId({ type: 'customer', system, key })
const record = (
  key: string,
  taxNumber: string | null = null,
  more: Partial<ObservedRecord> = {},
): ObservedRecord => ({
  key,
  label: `record ${key}`,
  match: { taxNumber },
  severalPerSystem: false,
  ...more,
})

for (const { name, make, available } of places) {
  const open = async () => {
    const place = make()
    const store: Store = await place.open()
    const registry = createIdentityRegistry(store)
    const link = (system: string, key: string, sameAsSystem: string, sameAsKey: string) =>
      registry.link(
        [
          {
            type: 'customer',
            key: { system, company: '', key },
            sameAs: { system: sameAsSystem, company: '', key: sameAsKey },
          },
        ],
        'manual',
      )
    return {
      store,
      registry,
      link,
      observe: (system: string, ...records: ObservedRecord[]) =>
        registry.observe('customer', system, records),
      /** The keys of whoever has this one. */
      async keys(system: string, key: string) {
        const [identity] = await registry.byKeys('customer', [{ system, key }])
        return identity?.keys.map((one) => `${one.system} ${one.key}`)
      },
      async idOf(system: string, key: string) {
        return (await registry.byKeys('customer', [{ system, key }]))[0]?.id
      },
      async unmapped() {
        const { items } = await registry.unmapped('customer', { first: 100 })
        return Object.fromEntries(items.map(({ key, reason }) => [`${key.system} ${key.key}`, reason]))
      },
      async [Symbol.asyncDispose]() {
        await store.close()
        await place[Symbol.asyncDispose]()
      },
    }
  }

  describe.skipIf(!available)(`the cross-reference in ${name}`, () => {
    it('commits nothing for records of which nothing is new', async () => {
      await using all = await open()
      const same = [record('1', '911', { company: null }), record('2'), record('3', '913', { company: '10' })]
      await all.observe('crm', ...same)
      const commits = vi.spyOn(all.store, 'transact')
      await all.observe('crm', ...same)
      expect(commits).not.toHaveBeenCalled()
      await all.observe('crm', record('1', '911', { label: 'another name' }))
      await all.observe('crm', record('2', '912'))
      await all.observe('crm', record('3', '913'))
      expect(commits).toHaveBeenCalledTimes(3)
    })

    it('links records of different systems that share a match value, however it is written', async () => {
      await using room = await open()
      await room.observe('crm', record('70007', '9131-0001 MA1K'))
      await room.observe('erp', record('C20001', '９１３１０００１ma1k'))
      await room.observe('fin', record('D-00003', '91310001MA1K'))
      expect(await room.keys('fin', 'D-00003')).toEqual(['crm 70007', 'erp C20001', 'fin D-00003'])
      expect(await room.idOf('erp', 'C20001')).toBe(id('crm', '70007'))
      expect(await room.unmapped()).toEqual({})
    })

    it('takes several accounts of one ERP for one customer', async () => {
      await using room = await open()
      await room.observe('crm', record('1', 'T'))
      await room.observe(
        'erp',
        record('A', 'T', { severalPerSystem: true }),
        record('B', 'T', { severalPerSystem: true }),
      )
      expect(await room.keys('crm', '1')).toEqual(['crm 1', 'erp A', 'erp B'])
    })

    it('leaves it to a person where two records of one system share a value', async () => {
      await using room = await open()
      await room.observe('crm', record('1', 'T'), record('2', 'T'))
      await room.observe('erp', record('A', 'T', { severalPerSystem: true }))
      expect([await room.keys('crm', '1'), await room.keys('crm', '2'), await room.keys('erp', 'A')]).toEqual(
        [['crm 1'], ['crm 2'], ['erp A']],
      )
      expect(await room.unmapped()).toMatchObject({
        'crm 2': 'taxNumber is shared with crm 1: link it by hand',
        'erp A': 'taxNumber is shared with crm 1, crm 2: link it by hand',
      })
      await room.link('erp', 'A', 'crm', '2')
      expect(await room.keys('erp', 'A')).toEqual(['crm 2', 'erp A'])
    })

    it('does not match what has no value', async () => {
      await using room = await open()
      await room.observe('crm', record('1', ''), record('2', null))
      await room.observe('erp', record('A', ' - '), record('B', null))
      expect(Object.keys(await room.unmapped())).toEqual(['crm 1', 'crm 2', 'erp A', 'erp B'])
    })

    it('links a record when its value comes later', async () => {
      await using room = await open()
      await room.observe('crm', record('1', 'T'))
      await room.observe('erp', record('A', null))
      expect(await room.keys('erp', 'A')).toEqual(['erp A'])
      await room.observe('erp', record('A', 'T'))
      expect(await room.keys('erp', 'A')).toEqual(['crm 1', 'erp A'])
    })

    it('matches a record that a person has linked with the system that nobody has linked', async () => {
      await using room = await open()
      // As a CSV file says it at the first start, before any system was read.
      await room.link('erp', 'A', 'fin', 'D')
      await room.observe('crm', record('1', 'T'))
      await room.observe('erp', record('A', 'T', { severalPerSystem: true }))
      await room.observe('fin', record('D', 'another'))
      expect((await room.keys('crm', '1'))?.toSorted()).toEqual(['crm 1', 'erp A', 'fin D'])
    })

    it('does not undo by a match what a person has said', async () => {
      await using room = await open()
      await room.observe('crm', record('1', 'T1'), record('2', 'T2'))
      await room.observe('erp', record('A', null))
      await room.link('erp', 'A', 'crm', '2')
      await room.observe('erp', record('A', 'T1'))
      expect(await room.keys('erp', 'A')).toEqual(['crm 2', 'erp A'])
      expect(await room.keys('crm', '1')).toEqual(['crm 1'])
    })

    it('takes a key out that does not belong there, and does not match it again', async () => {
      await using room = await open()
      await room.observe('crm', record('1', 'T'))
      await room.observe('erp', record('A', 'T'))
      await room.observe('fin', record('D', 'T'))
      const rest = await room.registry.unlink('customer', { system: 'erp', key: 'A' })
      expect(rest).toEqual({
        id: id('crm', '1'),
        keys: [
          { system: 'crm', company: '', key: '1' },
          { system: 'fin', company: '', key: 'D' },
        ],
      })
      expect(await room.idOf('erp', 'A')).toBe(id('erp', 'A'))
      await room.observe('crm', record('1', 'U'))
      await room.observe('erp', record('A', 'U'))
      await room.observe('crm', record('1', 'U', { label: 'renamed' }), record('2', 'U'))
      expect(await room.keys('erp', 'A')).toEqual(['erp A'])
      // What a person has decided is no question any more.
      expect(Object.keys(await room.unmapped())).toEqual(['crm 2'])
      const said = {
        type: 'customer',
        key: { system: 'erp', company: '', key: 'A' },
        sameAs: { system: 'crm', company: '', key: '1' },
      } as const
      expect(await room.registry.link([said], 'configured')).toBe(0)
      expect(await room.registry.link([said], 'manual')).toBe(1)
      expect(await room.keys('erp', 'A')).toEqual(['crm 1', 'erp A', 'fin D'])
    })

    it('lets the others go on under an id of their own where the founding key is taken out', async () => {
      await using room = await open()
      await room.observe('crm', record('1', 'T'))
      await room.observe('erp', record('A', 'T'))
      expect(await room.registry.unlink('customer', { system: 'crm', key: '1' })).toMatchObject({
        id: id('erp', 'A'),
      })
      expect([await room.idOf('crm', '1'), await room.idOf('erp', 'A')]).toEqual([
        id('crm', '1'),
        id('erp', 'A'),
      ])
      expect(Object.keys(await room.unmapped())).toEqual(['erp A'])
      expect(await room.registry.unlink('customer', { system: 'crm', key: '1' })).toBeNull()
      expect(await room.registry.unlink('customer', { system: 'erp', key: 'unheard of' })).toBeNull()
    })

    it('observes the same again without a change', async () => {
      await using room = await open()
      const records = [record('1', 'T'), record('2', 'U')]
      await room.observe('crm', ...records)
      await room.observe('erp', record('A', 'T'))
      const before = [await room.keys('crm', '1'), await room.unmapped()]
      await room.observe('crm', ...records)
      await room.observe('erp', record('A', 'T'))
      expect([await room.keys('crm', '1'), await room.unmapped()]).toEqual(before)
    })
  })

  describe.skipIf(!available)(`an id in ${name}`, () => {
    it('that was given out before a link leads to the same customer after it', async () => {
      await using room = await open()
      await room.observe('crm', record('1', 'T'))
      await room.observe('erp', record('A'), record('B'))
      await room.observe('fin', record('D'))
      const given = [id('crm', '1'), id('erp', 'A'), id('erp', 'B'), id('fin', 'D')]
      await room.link('erp', 'A', 'fin', 'D')
      await room.link('erp', 'B', 'erp', 'A')
      await room.link('fin', 'D', 'crm', '1')
      const identities = await room.registry.byIds('customer', given)
      for (const identity of identities) {
        expect(identity?.id).toBe(id('crm', '1'))
        expect(identity?.keys.map(({ key }) => key).toSorted()).toEqual(['1', 'A', 'B', 'D'])
      }
      expect(await room.unmapped()).toEqual({})
    })

    it('of a record that was never seen is an identity of its own, and founds the link', async () => {
      await using room = await open()
      expect(await room.keys('erp', 'new')).toEqual(['erp new'])
      expect(await room.link('fin', 'D', 'erp', 'new')).toBe(1)
      expect(await room.link('fin', 'D', 'erp', 'new')).toBe(0)
      expect(await room.idOf('fin', 'D')).toBe(id('erp', 'new'))
    })

    it('of another type or of nothing is none', async () => {
      await using room = await open()
      const other = encodeId({ type: 'product', system: 'erp', key: 'A' })
      expect(await room.registry.byIds('customer', ['x', id('crm', '1'), other, ''])).toEqual([
        null,
        { id: id('crm', '1'), keys: [{ system: 'crm', company: '', key: '1' }] },
        null,
        null,
      ])
    })

    it('is found among a thousand, in the order of the question', { timeout: 60_000 }, async () => {
      await using room = await open()
      const records = Array.from({ length: 1_200 }, (_, n) => record(`k${n}`, `T${n}`))
      await room.observe('crm', ...records)
      await room.observe('erp', ...records.toReversed())
      const found = await room.registry.byKeys(
        'customer',
        records.map(({ key }) => ({ system: 'erp', key })),
      )
      expect(found.map(({ keys }) => keys.map((one) => `${one.system} ${one.key}`))).toEqual(
        records.map(({ key }) => [`crm ${key}`, `erp ${key}`]),
      )
    })
  })

  describe.skipIf(!available)(`the list of unmapped records in ${name}`, () => {
    it('goes page by page, and by system', async () => {
      await using room = await open()
      await room.observe('crm', ...['c', 'a', 'b'].map((key) => record(key)))
      await room.observe('erp', record('d'))
      const page = (first: number, after?: { system: string; key: string }, system?: string) =>
        room.registry.unmapped('customer', { first, after, system })
      const { items, total } = await page(2)
      expect([items.map(({ key }) => key.key), total]).toEqual([['a', 'b'], 4])
      expect((await page(2, items.at(-1)?.key)).items.map(({ key }) => key.key)).toEqual(['c', 'd'])
      expect(await page(10, undefined, 'erp')).toMatchObject({ total: 1, items: [{ id: id('erp', 'd') }] })
    })
  })
}

describe('the text of an id', () => {
  it('holds any key, and is read back as it was', () => {
    for (const key of ['C20001', 'a/b', 'two\nlines', '零散客户', '𠮷', ' ', '"\\']) {
      const ref = { type: 'order', system: 'erp', key } as const
      expect(decodeId(encodeId(ref))).toEqual(ref)
    }
  })

  it('differs for an order and an invoice of one number', () => {
    expect(encodeId({ type: 'order', system: 'erp', key: '17' })).not.toBe(
      encodeId({ type: 'invoice', system: 'erp', key: '17' }),
    )
  })

  it('has one spelling only', () => {
    const text = encodeId({ type: 'order', system: 'erp', key: '17' })
    for (const other of [
      `${text}=`,
      `${text} `,
      text.toLowerCase(),
      `2${text.slice(1)}`,
      text.slice(0, -1),
      '',
    ])
      expect(decodeId(other)).toBeNull()
  })
})

describe('values to match by', () => {
  it('are the same in full width, in lower case, with spaces and signs between', () => {
    expect(normaliseMatch(' de-123 456.78/9 ')).toBe('DE123456789')
    expect(normaliseMatch('ＤＥ１２３４５６７８９')).toBe('DE123456789')
    expect(normaliseMatch('690-0000')).toBe('6900000')
  })
})

describe('links as CSV', () => {
  const isSystem = (system: string) => ['crm', 'erp'].includes(system)
  const header = 'type,system,company,key,sameAsSystem,sameAsKey'

  it('may be written by a spreadsheet: byte order mark, quotes, spaces, empty lines', () => {
    const csv = `\uFEFF${header}\r\ncustomer, erp ,,"C,1",crm,7\r\n\r\nproduct,erp,,A1,crm,P\r\n`
    expect(readLinks(csv, isSystem)).toEqual({
      requests: [
        {
          type: 'customer',
          key: { system: 'erp', company: '', key: 'C,1' },
          sameAs: { system: 'crm', company: '', key: '7' },
        },
        {
          type: 'product',
          key: { system: 'erp', company: '', key: 'A1' },
          sameAs: { system: 'crm', company: '', key: 'P' },
        },
      ],
    })
  })

  it('are refused as a whole, with every problem and its line', () => {
    expect(readLinks(`${header}\norder,erp,,1,crm,2\ncustomer,sap,,,crm,2`, isSystem)).toEqual({
      problems: [
        'line 2: "type" must be customer or product',
        'line 3: "key" is missing',
        'line 3: there is no system "sap"',
      ],
    })
    for (const csv of ['', header, 'a,b\n1', '"']) expect(readLinks(csv, isSystem)).toHaveProperty('problems')
  })
})
