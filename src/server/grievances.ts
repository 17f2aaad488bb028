import { formatName, type NamespacedName } from '../api/metadata.ts'
import type { EventRecorder } from '../kubernetes/event-recorder.ts'
import type { Policy } from '../rules/policy.ts'
import { virtualHostBy } from '../rules/virtual-host.ts'
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

const others = ({ services, others }: Grievance, service: NamespacedName): string =>
  [...services.filter((other) => other !== service).map((other) => `Service ${formatName(other)}`), ...others].join(
    ', ',
  )

const duplicatesOf = (grievance: Grievance): Complaint[] =>
  grievance.services.map((service) => ({
    service,
    address: grievance.address,
    reason: 'AddressDuplicate',
    note:
      `${grievance.address} is also that of ${others(grievance, service)}: each gets traffic and telemetry of the other. Take it out ` +
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
    const complaints: Complaint[] = []
    for (const grievance of grievances) {
      if (grievance.state === 'duplicate') complaints.push(...duplicatesOf(grievance))
      else complaints.push(...(await this.#outside(grievance, signal)))
    }
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

  /** What is of no pool is wrong on virtual hosts, which the ledger cannot tell from Services whose endpoints were made by hand. */
  async #outside({ address, services }: Grievance, signal: AbortSignal): Promise<Complaint[]> {
    const { cluster, policy } = this.#options
    const complaints: Complaint[] = []
    for (const name of services) {
      const isVirtualHost = await cluster.ask((view) => {
        const service = view.service(name)
        return service !== undefined && virtualHostBy(service, view, policy()) !== undefined
      }, signal)
      if (!isVirtualHost) continue
      const note =
        `${address} is in no pool (${formatPools(policy().pools)}): anybody may take it. Take it out of spec.externalIPs: a free ` +
        'address of a pool is written in'
      complaints.push({ service: name, address, reason: 'AddressOutsidePools', note })
    }
    return complaints
  }
}
