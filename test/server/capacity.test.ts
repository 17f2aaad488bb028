import fc from 'fast-check'
import t from 'tap'
import { defaultCapacity, Load, Overload } from '../../src/server/capacity.ts'
import { bodyLimit } from '../../src/server/webhook.ts'

t.test('what is under way never exceeds the capacity, and all that is done with can be taken on again', async () => {
  const steps = fc.array(
    fc.record({ who: fc.nat(7), what: fc.constantFrom('bytes', 'review', 'end'), bytes: fc.nat(40) }),
  )
  fc.assert(
    fc.property(steps, (all) => {
      const load = new Load({ reviews: 3, bytes: 100 })
      const requests = Array.from({ length: 8 }, () => ({ share: load.begin(), bytes: 0, reviews: 0 }))
      const sum = (key: 'bytes' | 'reviews') => requests.reduce((total, request) => total + request[key], 0)
      return all.every(({ who, what, bytes }) => {
        const request = requests[who] as (typeof requests)[0]
        if (what === 'end') {
          request.share.end()
          Object.assign(request, { bytes: 0, reviews: 0 })
          return true
        }
        const others = sum('bytes') - request.bytes
        const fits = what === 'bytes' ? others === 0 || sum('bytes') + bytes <= 100 : sum('reviews') < 3
        try {
          if (what === 'bytes') request.share.addBytes(bytes)
          else request.share.addReview()
        } catch (error) {
          return error instanceof Overload && !fits
        }
        if (what === 'bytes') request.bytes += bytes
        else request.reviews++
        return fits
      })
    }),
    { numRuns: 1000 },
  )
})

t.test('several of the largest reviews fit at a time', async (t) => {
  t.ok(defaultCapacity.bytes >= 8 * bodyLimit)
})
