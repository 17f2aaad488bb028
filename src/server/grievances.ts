import { formatName, type NamespacedName } from '../api/metadata.ts'
import type { EventRecorder } from '../kubernetes/event-recorder.ts'
import type { Policy } from '../rules/policy.ts'
import { isVirtualHost } from '../rules/virtual-host.ts'
import type { Cluster } from '../view/view.ts'
import type { Grievance } from '../vip/janitor.ts'
import { formatPools } from '../vip/pools.ts'

/** One sentence for the owners of one Service. */
type Complaint = {
  service: NamespacedName
  address: string
  reason: 'AddressDuplicate' | 'AddressOutsidePools'
  note: string
}

export type GrievancesOptions = {
  cluster: Cluster
  policy(): Policy
  recorder: Pick<EventRecorder, 'record'>
  logger: { warn(fields: object, message: string): void }
}

/** How many of the others a note names: there may be any number, and an Event has room for some. */
const maxNamed = 3

const othersThan = (service: NamespacedName, { services, others }: Grievance): string => {
  const otherServices = services.values().filter((other) => other !== service)
  const names = [...otherServices.take(maxNamed).map((other) => `Service ${formatName(other)}`), ...others]
  const rest = services.length - 1 + others.length - maxNamed
  return `${names.slice(0, maxNamed).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
}

const duplicatesOf = (grievance: Grievance): Complaint[] =>
  grievance.services.map((service) => ({
    service,
    address: grievance.address,
    reason: 'AddressDuplicate',
    note:
      `${grievance.address} is also that of ${othersThan(service, grievance)}: each gets traffic and telemetry of the other. Take it out ` +
      'of spec.externalIPs of one of them: a virtual host is given another one',
  }))

/**
 * Says what is wrong with addresses: by an Event on each Service at each look (the recorder makes one of those that are the same), and by
 * a log line when it is new.
 */
export class Grievances {
  readonly #options: GrievancesOptions
  #told = new Set<string>()

  constructor(options: GrievancesOptions) {
    this.#options = options
  }

  async tell(grievances: readonly Grievance[], signal: AbortSignal): Promise<void> {
    const { recorder, logger } = this.#options
    const duplicates = grievances.filter(({ state }) => state === 'duplicate')
    const outside = grievances.filter(({ state }) => state === 'outside')
    const complaints = [...duplicates.flatMap(duplicatesOf), ...(await this.#outside(outside, signal))]
    const told = new Set<string>()
    for (const { service, address, reason, note } of complaints) {
      const key = `${formatName(service)} ${note}`
      told.add(key)
      if (!this.#told.has(key)) logger.warn({ service: formatName(service), address, reason }, note)
      const regarding = { apiVersion: 'v1', kind: 'Service', ...service }
      recorder.record({ regarding, type: 'Warning', reason, action: 'CheckAddresses', note })
    }
    this.#told = told
  }

  /**
   * What is of no pool is wrong on virtual hosts, which the ledger cannot tell from Services whose endpoints were made by hand. That is one
   * question about all of them, so that their endpoints are read together: where a pool was taken away, they are thousands.
   */
  async #outside(grievances: readonly Grievance[], signal: AbortSignal): Promise<Complaint[]> {
    const { cluster, policy } = this.#options
    const inForce = policy()
    const { pools } = inForce
    return cluster.ask(
      (view) =>
        grievances.flatMap(({ address, services }) =>
          services
            .filter((name) => isVirtualHost(name, view, inForce))
            .map((service) => ({
              service,
              address,
              reason: 'AddressOutsidePools',
              note:
                `${address} is in no pool (${formatPools(pools)}): anybody may take it. Take it out of spec.externalIPs: a free ` +
                'address of a pool is written in',
            })),
        ),
      signal,
    )
  }
}
