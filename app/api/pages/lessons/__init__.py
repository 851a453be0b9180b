"""The lessons: a chapter each, in order."""

from app.api.pages.lessons import chapter_1, chapter_2, chapter_3, chapter_4, chapter_5, chapter_6, chapter_7
from app.api.pages.lessons.step import Chapter

CHAPTERS: tuple[Chapter, ...] = (
    chapter_1.CHAPTER,
    chapter_2.CHAPTER,
    chapter_3.CHAPTER,
    chapter_4.CHAPTER,
    chapter_5.CHAPTER,
    chapter_6.CHAPTER,
    chapter_7.CHAPTER,
)
