import { items } from '../data';
import css from './inventory.module.css';

export default function InventoryPage() {
  const low = items.filter((item) => item.stock < item.reorder).length;
  return (
    <section className={css.inventory} data-testid="inventory" data-version={__VERSION__}>
      <header className={css.head}>
        <h2 className={css.title}>Stock on hand</h2>
        <p className={css.note}>{low} running low</p>
      </header>
      <ul className={css.cards}>
        {items.map((item) => {
          const isLow = item.stock < item.reorder;
          return (
            <li key={item.sku} className={css.card}>
              <div className={css.pair}>
                <span className={css.name}>{item.name}</span>
                <span className={isLow ? css.countLow : css.count}>{item.stock}</span>
              </div>
              <div className={css.track}>
                <span
                  className={isLow ? css.fillLow : css.fill}
                  style={{ width: `${(item.stock / item.capacity) * 100}%` }}
                />
                <span className={css.mark} style={{ left: `${(item.reorder / item.capacity) * 100}%` }} />
              </div>
              <div className={css.pair}>
                <span className={css.detail}>
                  {item.sku}, {item.place}
                </span>
                <span className={css.detail}>{isLow ? `reorder below ${item.reorder}` : `of ${item.capacity}`}</span>
              </div>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
