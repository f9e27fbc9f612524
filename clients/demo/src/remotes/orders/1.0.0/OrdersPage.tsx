import { useState } from 'react';
import { euros, orders } from '../data';
import css from './orders.module.css';

export default function OrdersPage() {
  const [selected, setSelected] = useState<string | null>(null);
  const open = orders.filter((order) => order.status !== 'Shipped').length;
  return (
    <section className={css.orders} data-testid="orders" data-version={__VERSION__}>
      <header className={css.head}>
        <h2 className={css.title}>Today’s orders</h2>
        <p className={css.note} data-testid="orders-selected">
          {selected ? `#${selected} selected` : `${open} open of ${orders.length}`}
        </p>
      </header>
      <table className={css.table}>
        <thead>
          <tr>
            <th>Order</th>
            <th>Customer</th>
            <th>Placed</th>
            <th className={css.number}>Items</th>
            <th className={css.number}>Total</th>
            <th>Status</th>
          </tr>
        </thead>
        <tbody>
          {orders.map((order) => (
            <tr
              key={order.id}
              className={order.id === selected ? css.selected : undefined}
              onClick={() => setSelected(order.id === selected ? null : order.id)}
            >
              <td className={css.id}>#{order.id}</td>
              <td>
                <span className={css.customer}>{order.customer}</span> <span className={css.city}>{order.city}</span>
              </td>
              <td className={css.muted}>{order.placed}</td>
              <td className={css.number}>{order.items}</td>
              <td className={css.number}>{euros(order.total)}</td>
              <td>
                <span className={`${css.status} ${css[order.status.toLowerCase()]}`}>{order.status}</span>
              </td>
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <td colSpan={3}>Total</td>
            <td className={css.number}>{orders.reduce((sum, order) => sum + order.items, 0)}</td>
            <td className={css.number}>{euros(orders.reduce((sum, order) => sum + order.total, 0))}</td>
            <td />
          </tr>
        </tfoot>
      </table>
    </section>
  );
}
